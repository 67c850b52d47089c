"""How many nodes are left of a real file, by tool."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx

from regraft.pipelines.registry import targets
from tests.acceptance.contestants import CONTESTANTS, Contestant, Refused

TOOLS = [one for one in CONTESTANTS if one.name in ("raw", "onnxsim", "onnxslim", "regraft")]
HEADINGS = [one.name for one in TOOLS]


def count(path: Path) -> int:
    """The nodes of a file, subgraphs and local functions included, Constants left out."""
    model = onnx.load(path, load_external_data=False)
    return _count(model.graph.node) + sum(_count(function.node) for function in model.functions)


def _count(nodes: Iterable[onnx.NodeProto]) -> int:
    total = 0
    for node in nodes:
        total += node.op_type != "Constant"
        total += sum(_count(attribute.g.node) for attribute in node.attribute if attribute.HasField("g"))
    return total


def left(tool: Contestant, path: Path, folder: Path) -> str:
    """How many nodes a tool leaves; a dash where it gives no model."""
    try:
        return str(count(tool.prepare(path, {}, targets.load("onnxruntime")(), folder).file))
    except Refused:
        return "–"
