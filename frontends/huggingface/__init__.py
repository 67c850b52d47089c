"""The frontend `huggingface`: models of transformers, from a folder or from Python.

tasks          how a folder is loaded              examples     what the model is exported and checked with
accelerator    the form with an explicit mask
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regraft.errors import UnknownNameError
from regraft.frontends.torch.export import export_module
from regraft.ir.model import Model
from regraft.pipelines.frontend import Frontend, FrontendError, ImportOptions
from regraft.pipelines.options import Dims

from . import accelerator
from .examples import example_sizes, fixed_sizes, input_axes, make_example
from .tasks import load_model

STYLES = ("faithful", "accelerator")
ATTENTION = ("eager", "sdpa")


class HuggingFace(Frontend):
    """Hugging Face models: a folder with config.json and weights; an instance from Python, by `from_model`.

    Torch's exporter does the work. Inputs have the names of the tokenizer's outputs, and the dimensions `batch` and
    `sequence`; a given shape fixes a dimension for all inputs. The default task is that of the config's architecture.
    The style `accelerator` computes the mask once, as (1 - mask) * -10000, and takes `position_ids`. Everything is
    computed in float32, whatever dtype the file has.
    """

    name = "huggingface"
    formats = "a folder with config.json and .safetensors"
    extra = "torch"
    options = frozenset({"shapes", "task", "style", "exporter", "attention", "trust"})

    def accepts(self, source: Path) -> bool:
        weights = ("*.safetensors", "pytorch_model*.bin")
        return (source / "config.json").is_file() and any(any(source.glob(pattern)) for pattern in weights)

    def read(self, source: Path, options: ImportOptions) -> Model:
        model = from_model(
            load_model(source, options.task, options.trust),
            shapes=options.shapes,
            style=options.style or STYLES[0],
            exporter=options.exporter,
            attention=options.attention,
            opset=options.opset,
        )
        model.metadata["regraft.source"] += f", {source.name}"
        model.path = source / "config.json"
        return model


def from_model(
    model: Any,
    *,
    shapes: Mapping[str, Dims] | None = None,
    style: str = "faithful",
    exporter: str | None = None,
    attention: str | None = None,
    opset: int | None = None,
) -> Model:
    """The ONNX model of an instance of a class of transformers, checked in ONNX Runtime against the instance.

    The instance is not changed.

    Args:
        shapes: by input; a number fixes that dimension of all inputs.
        style: "faithful", or "accelerator": an explicit mask and positions, eager attention.
        exporter: "dynamo" (the default) or "torchscript".
        attention: "eager" or "sdpa"; by default the instance's.
        opset: of the result; the nearest one that the exporter writes.

    Raises:
        FrontendError: the exporter refuses the model, or ONNX Runtime gives other numbers than torch.
    """
    for kind, name, known in (("style", style, STYLES), ("attention", attention or ATTENTION[0], ATTENTION)):
        if name not in known:
            raise UnknownNameError(kind, name, known)
    explicit = style == "accelerator"
    if explicit and attention == "sdpa":
        raise FrontendError("style 'accelerator' has eager attention; leave --attention out")
    axes = input_axes(model, style)
    sizes = fixed_sizes(axes, shapes or {})
    examples = [make_example(model, axes, size, seed) for seed, size in enumerate(example_sizes(model, sizes))]
    dynamic = {name: {axis: dim for axis, dim in dims.items() if dim not in sizes} for name, dims in axes.items()}
    with _attention(model, "eager" if explicit else attention), _without_cache(model):
        if not explicit:
            return export_module(model, examples, dynamic, exporter, opset)
        try:
            return export_module(model, examples, dynamic, exporter, opset, accelerator.forward_of(model))
        except FrontendError as error:
            raise FrontendError(f"{error}; style 'faithful' may do") from error


@contextmanager
def _attention(model: Any, implementation: str | None) -> Iterator[None]:
    """The model with a form of attention, and afterwards with its own."""
    before = model.config._attn_implementation
    if implementation is not None:
        try:
            model.set_attn_implementation(implementation)
        except ValueError as error:
            raise FrontendError(f"{type(model).__name__} has no {implementation} attention: {error}") from error
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def _without_cache(model: Any) -> Iterator[None]:
    """The model, without past keys and values in its outputs."""
    before = getattr(model.config, "use_cache", None)
    model.config.use_cache = False
    try:
        yield
    finally:
        model.config.use_cache = before
