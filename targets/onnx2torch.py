"""The road to compilers that take torch modules: onnx2torch makes one of device.onnx."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from regraft.bundling.golden import Golden
from regraft.ir.model import Model
from regraft.targeting.offline_target import OfflineTarget
from regraft.targeting.tolerances import tolerances
from regraft.verification.contract import exact
from regraft.verification.inputs import Given, make_inputs
from regraft.verification.runtime import Session
from regraft.verification.vectors import save_vectors

OPSET = 17
"""The newest that onnx2torch 1.5.15 has converters for, and the first with LayerNormalization."""
CLEAN = (
    f"convert-opset{{version={OPSET},only=older,otherwise=keep}},strip-training,strip-dropout,"
    "infer-shapes,normalize-conditions,fold-constants,eliminate-identity,eliminate-dead-code,simplify-mask,"
    "fuse-layer-norm,fuse-gelu,lower-einsum"
)
"""What every such compiler's pipeline begins with."""
TIDY = "fold-constants,eliminate-identity,eliminate-common-subexpressions,eliminate-dead-code"


class Onnx2Torch(OfflineTarget):
    """The base of targets whose compiler takes a torch module.

    Attributes:
        sdk: the compiler's Python package.
        install: how to get it.
    """

    sdk: ClassVar[str] = ""
    install: ClassVar[str] = ""
    shares = ("golden", "torch")
    command = "python compile.py"

    def parameters(self, model: Model, folder: Path, golden: Golden) -> dict[str, Any]:
        """What all need: the package, and how far the torch module may lie from the original."""
        return {"sdk": self.sdk, "install": self.install, "tolerances": faithful(golden)}


def faithful(golden: Golden) -> dict[str, dict[str, float]]:
    """How far a torch module may lie from the original: as far as device.onnx does, and what 32 bits add."""
    known = {output.name: output.max_abs for output in golden.drift.outputs}
    rounding = tolerances(golden.outputs, exact)
    return {name: {**one, "atol": one["atol"] + known.get(name, 0.0)} for name, one in rounding.items()}


def open_dims(model: Model, golden: Golden) -> dict[str, int]:
    """The named dimensions of the device's inputs that have no size yet, with those of the golden vectors."""
    found = {}
    for tensor in model.graph.inputs:
        for dim, size in zip(tensor.shape or (), np.shape(golden.device_inputs[tensor.name]), strict=True):
            if not isinstance(dim, int):
                found[str(dim)] = size
    return found


def write_vectors(model: Model, dims: Mapping[str, int], folder: Path, name: str) -> tuple[str, dict[str, Any]]:
    """Write golden vectors of other sizes into `folder / "golden" / name`: what the device is fed, and what it gives.

    The outputs are those of `model` in ONNX Runtime, which the golden vectors of the bundle tie to the original.

    Returns:
        Their place, to be put before the names of files; and the outputs.
    """
    session, inputs = Session(model), make_inputs(model, given=Given(dims=dims))
    outputs = session.run(inputs)
    (folder / "golden" / name).mkdir()
    save_vectors(folder / "golden" / name / "device_inputs.npz", session.device_inputs(inputs))
    save_vectors(folder / "golden" / name / "outputs.npz", outputs)
    return f"{name}/", outputs
