"""The stages of a split model in a folder: a model each, its weights, and vectors to test it with.

stages/01-layer.0/model.onnx     the stage, complete
stages/01-layer.0/weights/       each weight as the graph has it, and transposed where it is a matrix
stages/01-layer.0/inputs.npz     golden vectors: the inputs of the stage
stages/01-layer.0/outputs.npz    and its outputs
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from regraft.bundling.weights import file_name, write_weights
from regraft.errors import ModelError
from regraft.files.bundle import entry
from regraft.files.saving import save
from regraft.inspection.census import operators
from regraft.inspection.macs import count_macs
from regraft.ir.model import Model
from regraft.splitting.stages import Stage, Step, stages, steps
from regraft.verification.vectors import save_vectors

STAGES = "stages"


def write_stages(model: Model, folder: Path, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Write the stages of `model`, which has been split, into `folder / "stages"`.

    Args:
        inputs: for the golden vectors: the graph's inputs, by name; the device's, if the model has a host.

    Returns:
        The manifest's entries, with paths relative to `folder`: for each stage its inputs and where each comes from,
        its outputs and where each goes, multiply-accumulates and bytes at the shapes of `inputs`, operators, weights.

    Raises:
        PassError: the model is not split.
        RuntimeFailure: a stage does not run on what the one before makes.
        ModelError: the disk refuses.
    """
    chain = stages(model)
    try:
        said = [_write(step, number, folder) for number, step in enumerate(steps(chain, inputs))]
    except OSError as error:
        raise ModelError(f"cannot write {folder / STAGES}: {error.strerror or error}") from error
    totals = {what: sum(stage[what] for stage in said) for what in ("macs", "weight_bytes")}
    return {"chain": said, **totals}


def _write(step: Step, number: int, folder: Path) -> dict[str, Any]:
    stage = step.stage
    place = f"{STAGES}/{number:02d}-{file_name(stage.name)}"
    files = {"model": f"{place}/model.onnx", "inputs": f"{place}/inputs.npz", "outputs": f"{place}/outputs.npz"}
    (folder / place / "weights").mkdir(parents=True)
    save(stage.model, folder / files["model"])
    save_vectors(folder / files["inputs"], step.given)
    save_vectors(folder / files["outputs"], step.made)
    weights = write_weights(stage.model, folder, f"{place}/weights")
    macs = count_macs(stage.model, {name: np.shape(value) for name, value in step.given.items()})
    return {
        "name": stage.name,
        "model": files["model"],
        "golden": {"inputs": files["inputs"], "outputs": files["outputs"]},
        "inputs": _inputs(stage, step.given),
        "outputs": _outputs(stage, step.made),
        "macs": macs.total,
        "macs_by_operator": dict(macs.operators),
        "macs_unknown": dict(macs.unknown),
        "weight_bytes": sum(weight["bytes"] for weight in weights),
        "operators": dict(operators(stage.model)),
        "weights": weights,
    }


def _inputs(stage: Stage, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            **entry(tensor),
            **_size(given.get(tensor.name)),
            "from": {"stage": source} if source else {"input": tensor.name},
        }
        for tensor, source in zip(stage.model.graph.inputs, stage.sources.values(), strict=True)
    ]


def _outputs(stage: Stage, made: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**entry(tensor), **_size(made[tensor.name]), "to": list(readers), "is_output": tensor.name in stage.results}
        for tensor, readers in zip(stage.model.graph.outputs, stage.readers.values(), strict=True)
    ]


def _size(value: Any) -> dict[str, Any]:
    """The shape and the bytes of a golden vector."""
    return {"golden_shape": list(np.shape(value)), "bytes": int(np.asarray(value).nbytes)} if value is not None else {}
