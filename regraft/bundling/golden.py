"""Golden vectors: inputs, the device's inputs for them, and the outputs of the model before it was rewritten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import VerificationError
from regraft.ir.model import Model
from regraft.ir.schema import draws
from regraft.ir.weights import Array
from regraft.pipelines.pass_base import label
from regraft.verification.contract import HIDDEN, Contract
from regraft.verification.deviation import Deviation
from regraft.verification.hidden import with_hidden
from regraft.verification.inputs import Given, make_inputs
from regraft.verification.reference import Reference
from regraft.verification.runtime import Session
from regraft.verification.samples import sample
from regraft.verification.vectors import flat, save_vectors

FILES = {"inputs": "golden/inputs.npz", "device_inputs": "golden/device_inputs.npz", "outputs": "golden/outputs.npz"}


@dataclass(frozen=True)
class Golden:
    """Arrays by name.

    Attributes:
        inputs: of the caller.
        device_inputs: what the host computes from these.
        outputs: of the original model, as far as the rewritten one has them; at hidden tokens those of the rewritten
            one.
        contract: of the pipeline.
        drift: of the rewritten model's outputs against these.
    """

    inputs: dict[str, Any]
    device_inputs: dict[str, Any]
    outputs: dict[str, Any]
    contract: Contract
    drift: Deviation

    def write(self, folder: Path) -> dict[str, str]:
        """Write the arrays into `folder`. Returns the files by content. bfloat16 and similar dtypes become float32."""
        (folder / "golden").mkdir()
        for what, name in FILES.items():
            save_vectors(folder / name, getattr(self, what))
        return dict(FILES)


def make_golden(original: Model, model: Model, contract: Contract, given: Given | None = None, seed: int = 0) -> Golden:
    """Run both models in ONNX Runtime on inputs that are given, or made from what they mean.

    Raises:
        VerificationError: the outputs lie further apart than `contract` allows; or those of the original are random.
        RuntimeFailure: one of the models does not run.
    """
    given = given or Given()
    session, before = Session(model), Session(original)
    known = {tensor.name for tensor in original.inputs}

    def of_original(inputs: Mapping[str, Any]) -> dict[str, Any]:
        shared = {name: value for name, value in {**given.values, **inputs}.items() if name in known}
        return make_inputs(original, seed=seed, given=Given(shared))

    def run(inputs: Mapping[str, Any]) -> dict[str, Any]:
        session.run(inputs)
        return before.run(of_original(inputs))

    (made,) = sample(model, run, given=given, count=1, seed=seed)
    _check_chance(original, made.outputs, lambda: before.run(of_original(made.inputs)))
    found = session.run(made.inputs)
    outputs = {name: value for name, value in made.outputs.items() if name in found}
    reference = Reference(original, [of_original(made.inputs)], outputs=[outputs])
    drift = reference.hold(model, [found], contract)
    if not drift.passed:
        raise VerificationError(f"the rewritten model breaks its contract {contract}: {drift.failures[0]}")
    if HIDDEN in contract.assumes:  # elements without meaning are not checked later
        arrays = {name: value for name, value in outputs.items() if isinstance(value, np.ndarray)}
        outputs |= {name: with_hidden(value, found[name], reference.hides(0, name)) for name, value in arrays.items()}
    return Golden(made.inputs, session.device_inputs(made.inputs), outputs, contract, drift)


def _check_chance(model: Model, outputs: Mapping[str, Any], again: Callable[[], Mapping[str, Any]]) -> None:
    """Raise VerificationError where `again` differs: vectors of a random model are true for one run only."""
    random = next((node for node in model.nodes() if draws(node)), None)
    if random is None:
        return
    first, second = flat(outputs), flat(again())
    moved = [name for name in first if name not in second or not _same(first[name], second[name])]
    if moved:
        raise VerificationError(
            f"output '{moved[0]}' of the original is random, as node '{label(random)}' ({random.op}) has it: "
            "run strip-dropout before, so that there is something to compare with"
        )


def _same(one: Array, other: Array) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
