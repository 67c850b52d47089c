"""What of a model a target does not take, by its profile. Linear in nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from regraft.ir import schema
from regraft.ir.gc_pause import paused
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.legality.lines import Mend
from regraft.legality.node_view import Site
from regraft.legality.profile import Profile
from regraft.legality.view import View
from regraft.pipelines.pass_base import label

DOMAINS = (*schema.DOMAINS, schema.STAND_IN)


@dataclass(frozen=True)
class Violation:
    """Something in a model that a target does not take.

    Attributes:
        nodes: those concerned, by name; none where it is the whole model.
        operator: theirs, as `schema.kind` calls it; empty where it is not about one.
        values: the inputs or outputs of the model that are concerned, with their types.
        source: who says that it is not taken.
        mend: pipelines as text that may help, in the order to try them.
    """

    reason: str
    nodes: tuple[str, ...] = ()
    operator: str = ""
    values: tuple[str, ...] = ()
    source: str = ""
    mend: Mend = ()

    def __str__(self) -> str:
        reason = f"{self.operator}: {self.reason}" if self.operator else self.reason
        if not self.nodes:
            return reason
        more = f" and {len(self.nodes) - 1} more" if len(self.nodes) > 1 else ""
        return f"{reason}: {self.nodes[0]}{more}"


@dataclass(frozen=True)
class Verdict:
    """What a profile says of a model.

    Attributes:
        view: the nodes that it was held against.
        found: each violation with its nodes.
        undecided: nodes of which too little is known to say that a gap does not hold.
    """

    view: View
    found: list[tuple[Violation, Sequence[Node]]]
    undecided: Sequence[Node] = ()

    @property
    def violations(self) -> list[Violation]:
        """What is not taken: of the whole model first, then by operator."""
        return [violation for violation, _ in self.found]

    @cached_property
    def refused(self) -> set[Node]:
        """The nodes that are not taken."""
        return {node for _, nodes in self.found for node in nodes}


@paused()
def judge(model: Model, profile: Profile) -> Verdict:
    """Hold the device's graph of `model` against `profile`; the model is left as it is."""
    view = View(model, profile.listed.names if profile.listed else ())
    undecided: list[Node] = []
    return Verdict(view, [*_broken_limits(view, profile), *_gaps(view, profile, undecided)], undecided)


def check(model: Model, profile: Profile) -> list[Violation]:
    """What of `model` the target of `profile` does not take."""
    return judge(model, profile).violations


def _broken_limits(view: View, profile: Profile) -> Iterator[tuple[Violation, Sequence[Node]]]:
    for limit in profile.limits:
        for what, nodes, values in limit.breaches(view):
            violation = Violation(
                f"{what}: {limit.reason}",
                tuple(map(label, nodes)),
                values=tuple(values),
                source=limit.source or profile.source,
                mend=limit.mend,
            )
            yield violation, nodes


def _gaps(view: View, profile: Profile, undecided: list[Node]) -> Iterator[tuple[Violation, Sequence[Node]]]:
    found: dict[tuple[str, str, str, Mend], list[Node]] = {}
    unknown: dict[tuple[str, str | None], list[tuple[str, str, Mend]]] = {}
    for site in view.sites:
        if view.is_call(site):
            continue
        held = [(gap, gap.holds(site)) for gap in profile.gaps.get(site.operator, ())]
        why = [(gap.reason, gap.source or profile.source, gap.mend) for gap, holds in held if holds]
        key = site.node.op, site.node.domain
        if not why and key not in unknown:
            unknown[key] = list(_unknown(site, profile))
        for reason, source, mend in why or unknown[key]:
            found.setdefault((site.operator, reason, source, mend), []).append(site.node)
        if not why and any(holds is None for _, holds in held):
            undecided.append(site.node)
    for (operator, reason, source, mend), nodes in found.items():
        yield Violation(reason, tuple(map(label, nodes)), operator, (), source, mend), nodes


def _unknown(site: Site, profile: Profile) -> Iterator[tuple[str, str, Mend]]:
    """Why the operator itself is not taken, who says so, and what may help."""
    listed, domain = profile.listed, site.node.domain or ""
    if domain == schema.FOREIGN and site.node.op in profile.foreign:
        return
    if listed is not None:
        if site.operator not in listed.names:
            yield listed.reason, listed.source or profile.source, listed.mend.get(site.operator, ())
    elif domain not in DOMAINS and domain not in profile.domains:
        yield "not an operator of ONNX", profile.source, ()
