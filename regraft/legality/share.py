"""How much of a model a target takes: of its nodes, and of its multiply-accumulates."""

from __future__ import annotations

from dataclasses import dataclass

from regraft.inspection.macs import macs_of
from regraft.ir import schema
from regraft.ir.graph import walk
from regraft.legality.node_view import Site
from regraft.legality.verdict import Verdict
from regraft.legality.view import View


@dataclass(frozen=True)
class Share:
    """How much of a model a target takes. What stands in a body or a function counts once.

    Attributes:
        nodes: of the device's graph, the bodies inside it, and the functions it calls.
        taken: those of them that no line of the profile speaks against.
        undecided: those taken of which too little is known to be sure.
        on_host: nodes of the host's graph, which the target does not get.
        macs: multiply-accumulates of the nodes, as far as they are known.
        macs_taken: those of the nodes that are taken.
        macs_unknown: nodes whose multiply-accumulates hang on a shape that is not known.
    """

    nodes: int
    taken: int
    undecided: int
    on_host: int
    macs: int
    macs_taken: int
    macs_unknown: int

    @property
    def of_nodes(self) -> float:
        """From 0 to 1; 1 where there is nothing to take."""
        return self.taken / self.nodes if self.nodes else 1.0

    @property
    def of_macs(self) -> float | None:
        """From 0 to 1; None where some are not known, or there are none."""
        return self.macs_taken / self.macs if self.macs and not self.macs_unknown else None

    @property
    def of_all(self) -> float:
        """The nodes taken, of those on both sides."""
        every = self.nodes + self.on_host
        return self.taken / every if every else 1.0


def share(verdict: Verdict) -> Share:
    """How much of the model the target takes that `verdict` speaks for."""
    view, refused = verdict.view, verdict.refused
    counts = [(site.node in refused, _macs(site, view)) for site in view.sites]
    host = view.model.host
    return Share(
        nodes=len(counts),
        taken=sum(not bad for bad, _ in counts),
        undecided=len(set(verdict.undecided) - refused),
        on_host=len(list(host.model.nodes())) if host and host.feeds else 0,
        macs=sum(macs or 0 for _, macs in counts),
        macs_taken=sum(macs or 0 for bad, macs in counts if not bad),
        macs_unknown=sum(macs is None for _, macs in counts),
    )


def _macs(site: Site, view: View) -> int | None:
    """Multiply-accumulates of a node; what is in a function that it calls counts where the view does not list it."""
    function = view.body(site)
    if function is None or site.node.domain == schema.STAND_IN:
        return macs_of(site.node, view.facts)
    if view.is_call(site):
        return 0
    inner = [macs_of(node, view.facts) for graph in walk(function) for node in graph.nodes]
    return None if None in inner else sum(macs or 0 for macs in inner)
