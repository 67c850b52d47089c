"""What the tests of half precision share: graphs as text, weights from numpy, both held against float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx.parser
from onnx import numpy_helper

import regraft
from regraft.files.convert import clone, from_proto
from regraft.ir.model import Model
from regraft.ir.verifier import check
from regraft.verification.verify import snapshot


class Converted(NamedTuple):
    """A model in half precision.

    Attributes:
        off: the largest difference of an output from that in float32, as a share of its largest element.
        half: the names of the values in half precision, in the main graph and in bodies.
        notes: what the pass said.
    """

    model: Model
    off: float
    half: set[str]
    notes: list[str]


def build(text: str, weights: Mapping[str, Any] | None = None, opset: int = 17, domains: str = "") -> Model:
    """A model of a graph as text; those of its inputs that `weights` names become initializers."""
    domains = f'"" : {opset}, {domains or """"com.microsoft" : 1"""}'
    proto = onnx.parser.parse_model(f"<ir_version: 9, opset_import: [{domains}]>\n{text}")
    given = {name: np.asarray(value) for name, value in (weights or {}).items()}
    kept = [entry for entry in proto.graph.input if entry.name not in given]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in given.items())
    return from_proto(proto)


def halve(model: Model, inputs: Mapping[str, Any], pipeline: str = "convert-fp16") -> Converted:
    """Convert `model`, and run it before and after on `inputs`."""
    before = clone(model)
    report = regraft.run(model, pipeline)
    check(model)
    old, new = snapshot(before, dict(inputs)), snapshot(model, dict(inputs))
    off = 0.0
    for name, value in old.items():
        wanted, found = np.asarray(value, np.float64), np.asarray(new[name], np.float64)
        assert wanted.shape == found.shape
        assert not np.isnan(found[~np.isnan(wanted)]).any()
        off = max(off, float(np.abs(wanted - found).max(initial=0)) / (float(np.abs(wanted).max(initial=0)) or 1.0))
    half = {t.name for node in model.nodes() for t in node.outputs if t.dtype == np.float16}
    return Converted(model, off, half, [note for one in report.passes for note in one.notes])
