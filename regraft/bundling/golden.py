"""Golden vectors: inputs, what the device is fed for them, and the outputs of the model before it was rewritten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import VerificationError
from regraft.ir.model import Model
from regraft.verification.contract import Contract
from regraft.verification.drift import Drift
from regraft.verification.inputs import Given, make_inputs
from regraft.verification.runtime import Session
from regraft.verification.vectors import save_vectors
from regraft.verification.verify import coarsest_float

FILES = {"inputs": "golden/inputs.npz", "device_inputs": "golden/device_inputs.npz", "outputs": "golden/outputs.npz"}


@dataclass(frozen=True)
class Golden:
    """Arrays by name.

    Attributes:
        inputs: the caller's.
        device_inputs: what the host makes of them.
        outputs: of the original model; those that the rewritten one has.
        contract: of the pipeline.
        drift: of what the rewritten model gives, held against it.
    """

    inputs: dict[str, Any]
    device_inputs: dict[str, Any]
    outputs: dict[str, Any]
    contract: Contract
    drift: Drift

    def write(self, folder: Path) -> dict[str, str]:
        """Write the arrays into `folder`; the files by what they hold. bfloat16 and its kin become float32."""
        (folder / "golden").mkdir()
        for what, name in FILES.items():
            save_vectors(folder / name, getattr(self, what))
        return dict(FILES)


def make_golden(original: Model, model: Model, contract: Contract, given: Given | None = None, seed: int = 0) -> Golden:
    """Run both models in ONNX Runtime on inputs that are given, or made from what they mean.

    Raises:
        VerificationError: the outputs lie further apart than `contract` allows.
        RuntimeFailure: one of the models does not run.
    """
    given = given or Given()
    made = make_inputs(model, seed=seed, given=given)
    shapes = {t.name: np.shape(made[t.name]) for t in original.inputs if isinstance(made.get(t.name), np.ndarray)}
    known = {tensor.name for tensor in original.inputs}
    values = {name: value for name, value in given.values.items() if name in known}
    old = make_inputs(original, seed=seed, given=Given(values, {n: s for n, s in shapes.items() if n not in values}))
    inputs = {name: old.get(name, value) for name, value in made.items()}
    session = Session(model)
    found = session.run(inputs)
    outputs = {name: value for name, value in Session(original).run(old).items() if name in found}
    drift = contract.check(outputs, found, computed_in=coarsest_float(model))
    if not drift.passed:
        raise VerificationError(f"the rewritten model breaks its contract {contract}: {drift.failures[0]}")
    return Golden(inputs, session.device_inputs(inputs), outputs, contract, drift)
