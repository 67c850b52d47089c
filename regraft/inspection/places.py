"""Where in a model a node is: in which body or function, and in which of its layers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from regraft.inspection.fingerprint import bodies
from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Node
from regraft.ir.model import Model
from regraft.pipelines.inheritance import SCOPES
from regraft.pipelines.pass_base import label

Paths = Mapping[AnyGraph, str]
"""Where each graph is: `If_3/then/`; empty for the main graph."""

_NUMBER = re.compile(r"""[._]\d+[/.'"]""")  # what every layer has, found in a fraction of the time
_LAYER = re.compile(r"""([A-Za-z_]\w*?)[._](\d+)(?=[/.'"])""")


def paths(model: Model) -> Paths:
    """Of every graph of `model`: the nodes around it, each with the attribute that leads on, or the function."""
    found: dict[AnyGraph, str] = {model.graph: ""}
    found |= {function: f"{'.'.join(function.unique_id)}/" for function in model.functions}
    waiting = list(found)
    while waiting:
        graph = waiting.pop()
        for node in graph.nodes.holders:
            for (name, place), body in bodies(node):
                number = f"[{place}]" if isinstance(node.attrs[name], list) else ""
                found[body] = f"{found[graph]}{label(node)}/{name.removesuffix('_branch')}{number}/"
                waiting.append(body)
    return found


def layer_of(node: Node) -> str:
    """The outermost module around `node` that is one of several, `layer.3`, as its exporter names it; else empty."""
    scopes = node.metadata.get(SCOPES) if node.has_metadata else None
    text = scopes or node.name
    found = _LAYER.finditer(text) if _NUMBER.search(text) else ()
    return next((f"{one[1]}.{one[2]}" for one in found if one[1] not in schema.names()), "")  # Add_30 is no layer
