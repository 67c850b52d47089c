"""A model repository that Triton Inference Server reads.

NAME/config.pbtxt, NAME/1/model.onnx             a model
NAME_host, NAME_device, and an ensemble NAME     a split one, if the device's inputs have a row for each sequence
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from google.protobuf.text_encoding import CEscape

from regraft.batching.form import Form
from regraft.errors import ModelError, TargetError
from regraft.files.destination import check_folder_name
from regraft.files.saving import save
from regraft.files.stream import partial_folder, sync_folder, take_place
from regraft.ir.model import Model
from regraft.packers.fits import PackedShape
from regraft.serving.protocol import ProtocolError, datatype
from regraft.serving.ragged import by_token, device_as_promised, is_ragged, joined, lengths_of, token_inputs
from regraft.verification.signature import Port

Kind = Literal["cpu", "gpu"]

CONFIG, VERSION, MODEL = "config.pbtxt", "1", "model.onnx"
_LISTS = ("dims", "shape", "preferred_batch_size")  # fields of numbers
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Serving:
    """How Triton should run a model.

    Attributes:
        max_batch: the largest number of sequences in a batch.
        max_delay_ms: milliseconds for which a request may wait for others.
        instances: copies of the model that run at once.
        kind: where it runs; the host's part always runs on the CPU.
    """

    max_batch: int = 16
    max_delay_ms: float = 5.0
    instances: int = 1
    kind: Kind = "cpu"


@dataclass(frozen=True)
class Exported:
    """A model of a repository.

    Attributes:
        max_batch: sequences that Triton puts into a batch; 0: it makes none.
        ragged: whether these may have different lengths.
    """

    name: str
    max_batch: int
    ragged: bool = False


class _Word(str):
    """A text that stands in a configuration without quotes."""


def write_repository(model: Model, folder: str | os.PathLike[str], name: str, serving: Serving) -> list[Exported]:
    """Write a model, split or not, into a folder that is new or empty, as a repository.

    Returns:
        The models in it; the last one is the caller's.

    Raises:
        TargetError: Triton does not take the model, or the name.
        ModelError: the folder holds something, or cannot be written.
    """
    folder = Path(folder)
    if not _NAME.fullmatch(name):
        raise TargetError(f"'{name}' is no name of a model; give one of letters, digits and _ with --name")
    check_folder_name(folder)
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"cannot write {folder}: it is there and holds something; name a new folder")
    if not folder.parent.is_dir():
        raise ModelError(f"cannot write {folder}: there is no folder {folder.parent}")
    try:
        with partial_folder(folder.resolve()) as scratch:
            new = scratch / "new"
            new.mkdir()
            exported = _Repository(new, name, serving).write(model)
            for inner in (new, *(path for path in new.rglob("*") if path.is_dir())):
                sync_folder(inner)
            take_place(new, folder.resolve())
    except OSError as error:
        raise ModelError(f"cannot write {folder}: {error.strerror or error}") from error
    return exported


class _Repository:
    """Writes models into a new folder."""

    def __init__(self, folder: Path, name: str, serving: Serving):
        self._folder, self._name, self._serving = folder, name, serving

    def write(self, model: Model) -> list[Exported]:
        form = Form.of(model)
        batched = form.together and isinstance(form.batch, str)
        if model.host is None:
            return [self._model(self._name, model, form, self._serving.max_batch if batched else 0)]
        if not model.host.feeds:
            whole = device_as_promised(model)
            return [self._model(self._name, whole, form, self._serving.max_batch if batched else 0)]
        front, device = model.host.model, device_as_promised(model)
        inner = (*front.graph.outputs, *device.graph.inputs, *device.graph.outputs)
        by_row = all((tensor.shape or [None])[0] == form.batch for tensor in inner)
        if batched and not by_row:
            return [self._whole(model, form)]
        most = self._serving.max_batch if batched else 0
        return [
            self._part(f"{self._name}_host", front, most, "cpu"),
            self._part(f"{self._name}_device", device, most, self._serving.kind),
            self._ensemble(model, form, most),
        ]

    def _whole(self, model: Model, form: Form) -> Exported:
        """A model whose host makes one batch of all requests' sequences: host and device as one."""
        ragged, most = is_ragged(form), self._serving.max_batch
        if form.packed is not None:
            if not ragged:
                raise TargetError("the packed model takes or gives what is neither by token nor by sequence")
            most = min(most, _surely(form.packed))
        return self._model(self._name, joined(model, form, ragged), form, most, ragged)

    def _model(self, name: str, model: Model, form: Form, most: int, ragged: bool = False) -> Exported:
        """A model with the inputs and outputs of the caller."""
        tokens = token_inputs(form) if ragged else []
        inputs = [_tensor(port, most, model=True) for port in form.inputs]
        for tensor in inputs:
            if tensor["name"] in tokens:
                tensor["allow_ragged_batch"] = True
        outputs = [_tensor(port, most, model=True) for port in form.outputs]
        said: dict[str, Any] = {"input": inputs, "output": outputs}
        if ragged:
            said["batch_input"] = [
                {
                    "kind": _Word("BATCH_ITEM_SHAPE_FLATTEN"),
                    "target_name": lengths_of(token),
                    "data_type": _Word("TYPE_INT32"),
                    "source_input": token,
                }
                for token in tokens
            ]
            said["batch_output"] = [
                {"target_name": port.name, "kind": _Word("BATCH_SCATTER_WITH_INPUT_SHAPE"), "source_input": tokens[0]}
                for port in form.outputs
                if by_token(form, port)
            ]
        self._write(name, model, said, most, self._serving.kind)
        return Exported(name, most, ragged)

    def _part(self, name: str, model: Model, most: int, kind: Kind) -> Exported:
        """The host's part, or the device's."""
        ports = [Port.of_variable(tensor) for tensor in model.graph.inputs if tensor.default is None]
        inputs = [_tensor(port, most, model=True) for port in ports]
        outputs = [_tensor(Port.of_variable(tensor), most, model=True) for tensor in model.graph.outputs]
        self._write(name, model, {"input": inputs, "output": outputs}, most, kind)
        return Exported(name, most)

    def _ensemble(self, model: Model, form: Form, most: int) -> Exported:
        assert model.host is not None
        feeds = model.host.feeds
        made = {tensor.name: f"host:{tensor.name}" for tensor in model.host.model.graph.outputs}
        taken = [tensor.name for tensor in model.graph.inputs if tensor.default is None]
        steps = [
            _step(f"{self._name}_host", {port.name: port.name for port in form.inputs}, made),
            _step(
                f"{self._name}_device",
                {name: made[feeds[name]] if name in feeds else name for name in taken},
                {port.name: port.name for port in form.outputs},
            ),
        ]
        config = {
            "name": self._name,
            "platform": "ensemble",
            "max_batch_size": most,
            "input": [_tensor(port, most, model=False) for port in form.inputs],
            "output": [_tensor(port, most, model=False) for port in form.outputs],
            "ensemble_scheduling": {"step": steps},
        }
        (self._folder / self._name / VERSION).mkdir(parents=True)
        self._configure(self._name, config)
        return Exported(self._name, most)

    def _write(self, name: str, model: Model, tensors: Mapping[str, Any], most: int, kind: Kind) -> None:
        version = self._folder / name / VERSION
        version.mkdir(parents=True)
        save(model, version / MODEL)
        config: dict[str, Any] = {"name": name, "platform": "onnxruntime_onnx", "max_batch_size": most, **tensors}
        if most:
            delay = round(self._serving.max_delay_ms * 1e3)
            config["dynamic_batching"] = {"preferred_batch_size": [most], "max_queue_delay_microseconds": delay}
        config["instance_group"] = [{"count": self._serving.instances, "kind": _Word(f"KIND_{kind.upper()}")}]
        self._configure(name, config)

    def _configure(self, name: str, config: Mapping[str, Any]) -> None:
        (self._folder / name / CONFIG).write_text("\n".join(_lines(config)) + "\n", encoding="utf-8")


def _surely(shape: PackedShape) -> int:
    """Sequences that fit a packed batch, even if each is of the largest length."""
    rows, tokens = (1, shape.rows * shape.tokens) if shape.across_rows else (shape.rows, shape.tokens)
    return min(shape.sequences, rows * (tokens // min(shape.longest, tokens)))


def _tensor(port: Port, most: int, *, model: bool) -> dict[str, Any]:
    """An input or an output in a configuration; if Triton batches, the shape of a row.

    Args:
        model: whether it is a model's, whose tensor may have fewer dimensions than a configuration can say.
    """
    if port.kind != "tensor" or port.shape is None:
        raise TargetError(f"'{port.name}' is {port}: Triton takes tensors whose number of dimensions is known")
    if 0 in port.shape:
        raise TargetError(f"'{port.name}' is {port}: Triton takes no tensor without elements")
    try:
        name = datatype(port.dtype)
    except ProtocolError as error:
        raise TargetError(f"'{port.name}': {error}") from error
    if name == "BF16":
        raise TargetError(f"'{port.name}' is bfloat16, which Triton's ONNX Runtime does not take; convert it")
    dims = [dim if isinstance(dim, int) else -1 for dim in port.shape][1 if most else 0 :]
    kind = "STRING" if name == "BYTES" else name
    said: dict[str, Any] = {"name": port.name, "data_type": _Word(f"TYPE_{kind}"), "dims": dims or [1]}
    if not dims and most and model:
        said["reshape"] = {"shape": []}
    return said


def _step(name: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> dict[str, Any]:
    return {
        "model_name": name,
        "model_version": -1,
        "input_map": [{"key": key, "value": value} for key, value in inputs.items()],
        "output_map": [{"key": key, "value": value} for key, value in outputs.items()],
    }


def _lines(message: Mapping[str, Any], indent: str = "") -> list[str]:
    """A message in the text format of protobuf."""
    lines: list[str] = []
    for key, value in message.items():
        for one in value if isinstance(value, list) and key not in _LISTS else [value]:
            if isinstance(one, Mapping):
                lines += [f"{indent}{key} {{", *_lines(one, f"{indent}  "), f"{indent}}}"]
            else:
                lines.append(f"{indent}{key}: {_scalar(one)}")
    return lines


def _scalar(value: str | bool | int | Sequence[int]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, str):
        return value if isinstance(value, _Word) else f'"{CEscape(value.encode(), False)}"'
    return str(value).lower()
