"""What the tests of compilers have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx import helper

import regraft
from regraft.errors import TargetError
from regraft.files import convert
from regraft.pipelines.registry import targets
from regraft.targeting.compile import compile as build_bundle
from regraft.targeting.target import read_target


def needs(name: str) -> None:
    """Skip where the compiler of a target is not installed."""
    try:
        targets.load(name)().python()
    except TargetError as missing:
        pytest.skip(str(missing), allow_module_level=True)


def compile(target: str, source: Path | regraft.Model, bundle: Path, **more: Any) -> dict[str, Any]:
    """What the manifest says of a model that is compiled and right."""
    model = source if isinstance(source, regraft.Model) else regraft.load(source)
    return build_bundle(model, read_target(target), bundle, **more).manifest["compiled"]


def one_node(
    op: str, inputs: dict[str, Any], *, opset: int = 20, domain: str = "", output: Any = None, **attributes: Any
) -> regraft.Model:
    """A model of one node, all floats; its output `y` has the shape of the first input where none is given."""
    values = [helper.make_tensor_value_info(name, 1, shape) for name, shape in inputs.items()]
    node = helper.make_node(op, list(inputs), ["y"], "the node", domain=domain, **attributes)
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    shape = next(iter(inputs.values())) if output is None else output
    result = [helper.make_tensor_value_info("y", 1, shape)]
    return convert.from_proto(
        helper.make_model(helper.make_graph([node], "g", values, result), opset_imports=opsets, ir_version=10)
    )
