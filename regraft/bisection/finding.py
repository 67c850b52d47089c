"""What a bisection found, in a line and as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["found", "nothing fails", "fails before any pass"]


@dataclass
class Finding:
    """What a bisection found.

    Attributes:
        pass_name: the guilty pass, with its options.
        rule: empty where the pass has none, or could not be taken apart.
        nodes: those of the match, as they are called in the model before the pass.
        change: the number of the match among those of the pass, from 1; 0 where it is the pass as a whole.
        changes: how many the pass has.
        fault: what is wrong from there on.
        runs: how often the check ran.
        notes: what else is to be said, a line each.
    """

    verdict: Verdict
    pass_name: str = ""
    rule: str = ""
    nodes: tuple[str, ...] = ()
    change: int = 0
    changes: int = 0
    fault: str = ""
    runs: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        said = asdict(self)
        return {"pass": said.pop("pass_name"), **said}

    def __str__(self) -> str:
        if self.verdict == "nothing fails":
            return "nothing fails: the model after all passes stands the check"
        if self.verdict == "fails before any pass":
            return f"the model itself fails before any pass: {self.fault}"
        rule = f", rule '{self.rule}'" if self.rule else ""
        shown = ", ".join(f"'{name}'" for name in self.nodes[:4])
        more = f" and {len(self.nodes) - 4} more" if len(self.nodes) > 4 else ""
        at = f" at {shown}{more}" if self.nodes else ""
        which = f" (match {self.change} of {self.changes})" if self.change else ""
        return f"pass '{self.pass_name}'{rule}{at}{which}: {self.fault}"
