"""Runs torch's exporters: export, compare with torch's own output, load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from regraft.errors import RegraftError, UnknownNameError
from regraft.files.loading import load
from regraft.ir.model import Model
from regraft.pipelines.frontend import FrontendError
from regraft.verification.contract import precision
from regraft.verification.runtime import Session

from .quiet import quiet, reason

Tensors = Mapping[str, Any]
Axes = Mapping[str, Mapping[int, str]]

OPSETS = {"dynamo": range(18, 24), "torchscript": range(11, 21)}
"""The opsets that each exporter writes."""

OPSET = 20
TOLERANCE = precision(rtol=1e-4, atol=1e-4)


def export_module(
    module: Any,
    examples: Sequence[Tensors],
    axes: Axes,
    exporter: str | None = None,
    opset: int | None = None,
    forward: Callable[..., Any] | None = None,
) -> Model:
    """The ONNX model of an `nn.Module` in inference mode.

    Args:
        examples: inputs by the names of the module's parameters; the first is exported, the result is checked on all.
        axes: the names of dynamic dimensions, by input.
        forward: exported in place of the module's own `forward`; must compute the same.

    Raises:
        FrontendError: the module does not take the examples, the exporter refuses it, or ONNX Runtime gives other
            numbers than torch.
    """
    import torch

    exporter = exporter or "dynamo"
    if exporter not in OPSETS:
        raise UnknownNameError("exporter", exporter, OPSETS)
    names, what = list(examples[0]), type(module).__name__
    for name, value in examples[0].items():
        if not isinstance(value, torch.Tensor):
            raise FrontendError(
                f"example input '{name}' is a {type(value).__name__}; only tensors are inputs of a model"
            )
    with _inference(module), quiet():
        try:
            expected = [named_outputs(module(**example)) for example in examples]
        except RegraftError:
            raise
        except Exception as error:  # whatever the module's code raises
            raise FrontendError(f"{what} does not take the example inputs: {reason(error)}") from error
        _check_precision(what, *module.parameters(), *expected[0].values())
        inner = forward or module.forward

        def positional(*values: Any) -> tuple[Any, ...]:
            return tuple(named_outputs(inner(**dict(zip(names, values, strict=True)))).values())

        dynamic = {name: dict(axes.get(name, {})) for name in names}
        shapes: dict[str, Any] = (
            {"dynamic_shapes": {"values": tuple(dynamic.values())}, "external_data": True}
            if exporter == "dynamo"
            else {"dynamic_axes": {**dynamic, **_output_axes(examples, expected, axes)}}
        )

        def write(path: Path) -> None:
            torch.onnx.export(
                module,
                tuple(examples[0].values()),
                path,
                dynamo=exporter == "dynamo",
                opset_version=_nearest(exporter, opset),
                input_names=names,
                output_names=list(expected[0]),
                verbose=False,
                **shapes,
            )

        with _calling(module, positional):
            return _checked(write, examples, expected, f"{what} ({exporter})")


def export_program(program: Any, opset: int | None = None) -> Model:
    """The ONNX model of a `torch.export.ExportedProgram`, with the program's names for its inputs.

    Raises:
        FrontendError: it has no example inputs, or as for `export_module`.
    """
    import torch

    if program.example_inputs is None:
        raise FrontendError("the exported program holds no example inputs; export it again, or use from_module")
    positional, by_name = program.example_inputs
    leaves = torch.utils._pytree.tree_leaves((positional, by_name))
    example = dict(zip(program.graph_signature.user_inputs, leaves, strict=True))
    with quiet():
        expected = named_outputs(program.module()(*positional, **by_name))
        _check_precision("the program", *program.parameters(), *expected.values())

        def write(path: Path) -> None:
            torch.onnx.export(
                program,
                f=path,
                dynamo=True,
                opset_version=_nearest("dynamo", opset),
                output_names=list(expected),
                external_data=True,
                verbose=False,
            )

        return _checked(write, [example], [expected], "exported program")


def named_outputs(value: Any, name: str = "output") -> dict[str, Any]:
    """The tensors in a module's result, by name: keys of a mapping, indices of a sequence; None is left out."""
    import torch

    if value is None:
        return {}
    if isinstance(value, torch.Tensor):
        return {name: value}
    if isinstance(value, Mapping):
        parts = [named_outputs(item, str(key)) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        parts = [named_outputs(item, f"{name}_{index}") for index, item in enumerate(value)]
    else:
        raise FrontendError(f"output '{name}' is a {type(value).__name__}, which ONNX has nothing for; give tensors")
    return {key: tensor for part in parts for key, tensor in part.items()}


def _checked(
    write: Callable[[Path], None], examples: Sequence[Tensors], expected: Sequence[Tensors], what: str
) -> Model:
    """Export to a temporary file, which is unlinked when this returns; the model keeps it open."""
    import torch

    with TemporaryDirectory(prefix="regraft-torch-") as folder:
        path = Path(folder, "model.onnx")
        try:
            write(path)
        except ModuleNotFoundError:
            raise
        except Exception as error:  # the exporters let any exception of the module's code through
            raise FrontendError(f"torch's exporter refuses {what}: {reason(error)}") from error
        session = Session(path)
        for example, outputs in zip(examples, expected, strict=True):
            feeds = {port.name: _array(example[port.name]) for port in session.inputs}
            drift = TOLERANCE.check({name: _array(tensor) for name, tensor in outputs.items()}, session.run(feeds))
            if not drift.passed:
                raise FrontendError(f"torch's export of {what} computes something else than torch: {drift}")
        model = load(path)
    model.path = None
    model.metadata["regraft.source"] = f"torch {torch.__version__}: {what}"
    return model


def _array(tensor: Any) -> Any:
    return tensor.detach().cpu().numpy()


def _check_precision(what: str, *tensors: Any) -> None:
    """Refuse half precision, which ONNX Runtime does not compute everywhere, so that nothing could be checked."""
    import torch

    for tensor in tensors:
        if tensor.dtype in (torch.float16, torch.bfloat16):
            raise FrontendError(
                f"{what} computes in {tensor.dtype}; export it in float32, by float(), and let a pass lower it"
            )


def _output_axes(examples: Sequence[Tensors], expected: Sequence[Tensors], axes: Axes) -> dict[str, dict[int, str]]:
    """The names of the outputs' dimensions: each has the name of the input dimension that grows like it."""
    sizes = {
        tuple(example[name].shape[axis] for example in examples): dim
        for name, dims in axes.items()
        for axis, dim in dims.items()
    }
    fixed = {key for key in sizes if len(set(key)) == 1}
    named: dict[str, dict[int, str]] = {}
    for output, first in expected[0].items():
        grown = [tuple(outputs[output].shape[axis] for outputs in expected) for axis in range(first.ndim)]
        named[output] = {axis: sizes[key] for axis, key in enumerate(grown) if key in sizes and key not in fixed}
    return named


def _nearest(exporter: str, opset: int | None) -> int:
    written = OPSETS[exporter]
    return min(max(OPSET if opset is None else opset, written[0]), written[-1])


@contextmanager
def _inference(module: Any) -> Iterator[None]:
    """The module in inference mode, and afterwards as it was."""
    import torch

    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def _calling(module: Any, function: Callable[..., Any]) -> Iterator[None]:
    """The module with another `forward`: a wrapper module would add a prefix to the names of the weights."""
    own = vars(module).get("forward")
    module.forward = function
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own
