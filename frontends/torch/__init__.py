"""The frontend `torch`: exported programs from files, modules from Python.

archive        what a file is                     export       the way through torch's exporters
quiet          calls into torch
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft.ir.model import Model
from regraft.pipelines.frontend import Frontend, FrontendError, ImportOptions

from .archive import SUFFIXES, kind_of
from .export import export_module, export_program
from .quiet import quiet, reason


class Torch(Frontend):
    """PyTorch programs that `torch.export.save` wrote, .pt2; modules from Python, by `from_module`.

    To read a program is to run it: torch unpickles its inputs, and calls what it names. So `trust` must be given.
    """

    name = "torch"
    formats = "a .pt2 archive of torch.export"
    extra = "torch"
    options = frozenset({"trust"})

    def accepts(self, source: Path) -> bool:
        return source.is_file() and kind_of(source) is not None

    def read(self, source: Path, options: ImportOptions) -> Model:
        kind = kind_of(source) if source.is_file() else None
        if kind is None:
            raise FrontendError(f"{source} is no file that torch wrote ({', '.join(SUFFIXES)})")
        if kind != "exported program":
            raise FrontendError(f"{source} is a {kind}: {_INSTEAD[kind]}")
        if not options.trust:
            raise FrontendError(
                f"{source} is an exported program, and torch runs code of the file to read one: give --trust if you "
                "know who made it"
            )
        model = export_program(_load(source), options.opset)
        model.metadata["regraft.source"] += f", {source.name}"
        model.path = source
        return model


_INSTEAD = {
    "pickle": "it may hold weights but no graph, and reading it can run any code, so it is not read; save the module "
    "by torch.export.save, or use regraft.frontends.torch.from_module",
    "TorchScript archive": "it does not say the dtypes of its inputs, and its operators are those of an older "
    "exporter; save the module by torch.export.save, or use regraft.frontends.torch.from_module",
}


def from_module(
    module: Any,
    example_inputs: Mapping[str, Any] | Sequence[Any],
    *,
    axes: Mapping[str, Mapping[int, str]] | None = None,
    exporter: str = "dynamo",
    opset: int | None = None,
    more_examples: Sequence[Mapping[str, Any]] = (),
) -> Model:
    """The ONNX model of an `nn.Module`, checked in ONNX Runtime against the module itself.

    The weights keep the module's names; each node's metadata says where it came from. The module is not changed.

    Args:
        example_inputs: tensors by the names of the parameters of `forward`, or in their order.
        axes: names of the dynamic dimensions by input, `{"x": {0: "batch"}}`; others are fixed.
        exporter: "dynamo" or "torchscript".
        opset: of the result; the exporter writes the nearest one that it can, and `convert-opset` converts that.
        more_examples: inputs of other sizes that the result is checked on too.

    Raises:
        FrontendError: the exporter refuses the module, or ONNX Runtime gives other numbers than torch.
    """
    if not isinstance(example_inputs, Mapping):
        parameters = [name for name, p in inspect.signature(module.forward).parameters.items() if p.kind in _BY_NAME]
        if len(parameters) < len(example_inputs):
            raise FrontendError(f"{len(example_inputs)} example inputs, forward takes {len(parameters)} by name")
        example_inputs = dict(zip(parameters, example_inputs, strict=False))
    for name in axes or {}:
        if name not in example_inputs:
            raise FrontendError(f"axes name '{name}', which is no example input; known: {', '.join(example_inputs)}")
    return export_module(module, [example_inputs, *more_examples], axes or {}, exporter, opset)


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _load(source: Path) -> Any:
    import torch

    importlib.import_module("transformers.modeling_outputs")  # torch must know the classes that a program gives
    try:
        with quiet():
            return torch.export.load(source)
    except Exception as error:  # torch raises whatever its parsers do
        raise FrontendError(f"{source}: torch {torch.__version__} cannot load it: {reason(error)}") from error
