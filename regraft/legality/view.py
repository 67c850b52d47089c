"""A model as a target sees it: the nodes of the device's graph, of the bodies inside, and of the functions it calls."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Function, Variable, walk
from regraft.ir.model import Model
from regraft.legality.constraints import dtype_name
from regraft.legality.node_view import Site
from regraft.shapes import analyse, dims


class View:
    """The nodes of `model` that a compiler gets, each with what is known of its values.

    The call of a function that stands for an operator is that operator, and its body is not looked at.

    Args:
        own: operators of the compiler's own, as `schema.kind` calls them, that functions may stand for too.
    """

    def __init__(self, model: Model, own: Collection[str] = ()):
        self.model, self._own = model, own
        self.facts = analyse(model)
        self._functions = {(f.domain or "", f.name, f.overload): f for f in model.functions}
        self.sites = list(self._sites())

    def is_call(self, site: Site) -> bool:
        """Whether the node calls a local function that stands for no operator."""
        return bool(self._functions) and site.node.domain != schema.STAND_IN and self.is_function(site)

    def is_function(self, site: Site) -> bool:
        """Whether the node calls a local function that stands for no operator of the compiler's own."""
        return self.body(site) is not None and site.operator not in self._own

    def body(self, site: Site) -> Function | None:
        """The local function that the node calls; None where it calls none."""
        return self._functions.get(self._key(site))

    def _key(self, site: Site) -> tuple[str, str, str]:
        return (site.node.domain or "", site.node.op, site.node.overload)

    def _sites(self) -> Iterator[Site]:
        pending: list[AnyGraph] = [self.model.graph]
        seen: set[AnyGraph] = set()
        while pending:
            for graph in walk(pending.pop()):
                versions = schema.versions(graph)
                for node in graph.nodes:
                    site = Site(node, versions.get(node.domain or "", versions[""]), self.facts)
                    if self.is_call(site):
                        function = self._functions[self._key(site)]
                        if function not in seen:
                            seen.add(function)
                            pending.append(function)
                    yield site

    def show(self, tensor: Variable) -> str:
        """An input or an output with its type: `mask int64[batch, 8]`."""
        fact = self.facts[tensor]
        shape = "?" if fact.dims is None else ", ".join(str(dims.show(d) or "?") for d in fact.dims)
        return f"{tensor.name} {dtype_name(fact.code) if fact.code else '?'}[{shape}]"
