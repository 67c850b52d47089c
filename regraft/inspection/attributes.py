"""The attributes of a node by what they mean: one that says its default is as good as none."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from onnx import defs

from regraft.ir.graph import Node
from regraft.ir.schema import default
from regraft.opset.history import defaults, same


def meant(node: Node, opset: int) -> Mapping[str, Any]:
    """The attributes of `node`, stated or not, but for those that have the default of ONNX's newest opset.

    So nodes of different opsets compare: what is left out means the same in both.
    """
    if node.domain:
        return node.attrs
    own, newest = _defaults(node.op, opset)
    if not own and not newest:
        return node.attrs
    every = {**own, **node.attrs} if own else node.attrs
    return {name: value for name, value in every.items() if name not in newest or not same(value, newest[name])}


def value_of(attributes: Mapping[str, Any], name: str, node: Node) -> Any:
    """The value of `name` in what `meant` says of `node`; None where it has none."""
    return attributes.get(name, default(node.op, defs.onnx_opset_version(), node.domain, name))


@functools.cache
def _defaults(op: str, opset: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The defaults of an operator in `opset`, and in the newest."""
    return defaults(op, opset), defaults(op, defs.onnx_opset_version())
