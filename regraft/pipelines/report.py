"""What a run of a pipeline did: for each pass its time, nodes, changes, memory and drift."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from regraft.display import Displayed, Table, align
from regraft.files.stream import write_file
from regraft.pipelines.history import Measured
from regraft.pipelines.pass_base import Change, RuleUse, count_rules
from regraft.refusal import Refusal
from regraft.verification.contract import Contract, exact
from regraft.verification.deviation import Deviation, to_json
from regraft.verification.places import Place, summary
from regraft.verification.samples import Sample
from regraft.wording import count

_TELLING = 0.05  # the share of the time from which on a rule is shown


@dataclass
class PassReport:
    """One pass of a run.

    Attributes:
        text: the pass as in the pipeline, with its options.
        rounds: the round that it ran in, where it is in a group that is repeated; of groups in groups, the outer first.
        changed: whether it changed anything; as far as it said, or nodes or weights are other, in a run without
            verification and dumps.
        peak_memory: bytes, the most that the process had held when the pass ended.
        peak_growth: bytes by which the pass raised that.
        changes: what it did, by the edits of the model.
        effects: what it changed beside nodes, as text.
        notes: what it told the user, its refusals among it.
        refusals: what it left as it was, and why.
        rule_uses: what became of each rule, of a pass that is made of rules.
        dump: the file that shows the graph after the pass.
        drift: of the outputs, before the pass against after; where it was verified by a region, of the values that the
            region gives; None where it was not verified alone, or changed nothing.
        verified: what of it "each" ran by itself, or why it ran the whole model; empty where it verified nothing.
        whole: whether it ran the whole model.
        measured: the largest difference since the last comparison, where values were compared after it.
        places: what is proved of it, value by value; None where that was not asked for.
    """

    name: str
    text: str
    contract: str
    seconds: float = 0.0
    nodes_before: int = 0
    nodes_after: int = 0
    changed: bool = False
    changes: list[Change] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    rule_uses: list[RuleUse] = field(default_factory=list)
    rounds: tuple[int, ...] = ()
    peak_memory: int = 0
    peak_growth: int = 0
    dump: Path | None = None
    drift: Deviation | None = None
    verified: str = ""
    whole: bool = False
    measured: Measured | None = None
    places: list[Place] | None = None

    @property
    def title(self) -> str:
        """The text, and the round."""
        return f"{self.text} (round {'.'.join(map(str, self.rounds))})" if self.rounds else self.text

    @property
    def did(self) -> str:
        """What it changed, in a few words; empty where that is nothing."""
        rules = [" ".join(filter(None, (str(number), rule))) for rule, number in self.rules().items()]
        return ", ".join([*rules, *self.effects]) or "values only" * self.changed

    @property
    def matches(self) -> int:
        """At how many places it changed something."""
        return sum(self.rules().values())

    def rules(self) -> dict[str, int]:
        """How often each rule changed something."""
        return count_rules(self.changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return vars(self) | {
            "changes": [change._asdict() for change in self.changes],
            "refusals": [{"node": one.node, "reason": one.reason, "needs": one.needs} for one in self.refusals],
            "rule_uses": [vars(use) for use in self.rule_uses],
            "dump": str(self.dump) if self.dump else None,
            "drift": self.drift.to_dict() if self.drift else None,
            "measured": self.measured._asdict() if self.measured else None,
            "places": None if self.places is None else [asdict(place) for place in self.places],
        }


@dataclass(repr=False)
class Report(Displayed):
    """A run of a pipeline.

    Attributes:
        model: the file that was rewritten; empty for a model made in memory.
        verify: "none", "final" or "each"; what was done, where it was left to the run.
        drift: of the outputs, where passes were verified together: with "final", and with "each" those verified by
            regions, once more on the whole model; None where none were.
        contract: what the passes that changed something promise together, from end to end.
        notes: what is to be said of the model as it came.
        warnings: what is wrong with a result that is verified all the same.
        unstable: outputs that depend on chance and were not compared.
        trials: how many sets of inputs the model was run on.
        unverified: why the model was not run, where it was left to the run.
        witness: inputs that the result was run on, and what it gave.
    """

    model: str
    pipeline: str
    verify: str
    passes: list[PassReport] = field(default_factory=list)
    drift: Deviation | None = None
    contract: Contract = exact
    unstable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    trials: int = 0
    unverified: str = ""
    witness: Sample | None = field(default=None, repr=False)

    @property
    def places(self) -> list[Place] | None:
        """What is proved of all passes; None where that was not asked for."""
        known = [one.places for one in self.passes if one.places is not None]
        return [place for places in known for place in places] if known else None

    @property
    def verdict(self) -> str:
        """In a line: what is proved, and on how many trials the result was verified, or why it was not."""
        return self._run_verdict if self.places is None else f"{summary(self.places)}; {self._run_verdict}"

    @property
    def _run_verdict(self) -> str:
        if self.verify == "none":
            return f"not verified: {self.unverified or 'not asked for'}"
        if not self.changed:
            return "nothing changed"
        drifts = [drift for drift in (*(one.drift for one in self.passes), self.drift) if drift]
        worst = reduce(Deviation.worse, drifts).verdict if drifts else "nothing was compared"
        return f"verified on {count(self.trials, 'trial')}: {worst}{self._parts}"

    @property
    def _parts(self) -> str:
        """How many passes were verified by the part that they changed."""
        each = [one for one in self.passes if one.verified]
        alone = sum(not one.whole for one in each)
        return f"; {alone} of {len(each)} passes by the part that they changed" if alone else ""

    @property
    def seconds(self) -> float:
        """Time in passes, without verification and dumps."""
        return sum(one.seconds for one in self.passes)

    @property
    def changed(self) -> bool:
        return any(one.changed for one in self.passes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        said = {name: value for name, value in vars(self).items() if name != "witness"}
        return said | {
            "seconds": self.seconds,
            "passes": [one.to_dict() for one in self.passes],
            "drift": self.drift.to_dict() if self.drift else None,
            "contract": asdict(self.contract),
            "warnings": self.warnings,
        }

    def display(self) -> Iterator[str | Table]:
        yield self.verdict
        rows = [
            (one.title, f"{one.seconds:.3f}", one.nodes_before, one.nodes_after, one.did or "-", _drift(one))
            for one in self.passes
        ]
        head = ("pass", "seconds", "nodes before", "after", "changes", "largest difference")
        yield Table("passes", rows, head, (1, 2, 3, 5))

    def to_json(self) -> str:
        return to_json(self.to_dict())

    def write(self, path: str | Path) -> None:
        """Write the report as JSON. Raises ModelError when the file cannot be written."""
        write_file(Path(path), (self.to_json() + "\n").encode())

    def timing(self) -> str:
        """A table of time, share, nodes and memory, a line for each pass and for each rule that took long."""
        total = self.seconds
        rows = [("seconds", "share", "nodes", "", "peak MB", "pass")]
        for one in self.passes:
            share = one.seconds / total if total else 0.0
            nodes = (f"{one.nodes_before}", f"{one.nodes_after - one.nodes_before:+d}")
            rows.append((f"{one.seconds:.3f}", f"{share:.0%}", *nodes, f"{one.peak_memory / 1e6:.0f}", one.title))
            for use in one.rule_uses if total else ():
                if use.seconds >= _TELLING * total:
                    found = f"  {use.rule or 'rule'}: {use.hits} of {count(use.tries, 'try')}"
                    rows.append((f"{use.seconds:.3f}", f"{use.seconds / total:.0%}", "", "", "", found))
        rows.append((f"{total:.3f}", "100%", "", "", "", "total"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(align(row, widths, range(5)) for row in rows)


def _drift(one: PassReport) -> str:
    return f"{one.drift.max_abs:.2g}" if one.drift else ""
