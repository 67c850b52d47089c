"""Inputs to run a model on, made from what each input means, or given by the user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from regraft.ir.graph import Variable
from regraft.ir.model import Model
from regraft.verification.meaning import Meaning, channels, longest_sequence, meaning
from regraft.verification.signature import Port, Shape
from regraft.verification.vectors import InputError, load_vectors, make_map, typed

BATCH, SEQUENCE, IMAGE, CHANNELS = 2, 16, 32, 3
_WORDS = np.array(["the", "graph", "keeps", "what", "it", "means", "when", "a", "node", "gives", "way"], dtype=object)
_UNBOUNDED = 100  # rows of a table that was not found


@dataclass(frozen=True)
class Given:
    """What the user says about inputs; the rest is generated.

    Attributes:
        values: whole inputs, by name.
        shapes: of inputs, by name.
        dims: sizes of dimensions, by the dimension's name.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)


def make_inputs(model: Model, *, seed: int = 0, given: Given | None = None) -> dict[str, Any]:
    """An input for each graph input without a default value.

    Indices lie inside their table, masks are ones followed by zeros with the first row full, floats are standard
    normal. A dynamic dimension is a batch of 2 or a sequence of 16, shorter where the model has fewer positions;
    dimensions of one name have one size. The same seed gives the same inputs.

    Raises:
        InputError: a given input or shape is none that the model takes.
    """
    given = given or Given()
    variables = {v.name: reader(v, model) for v in model.inputs}
    for name in (*given.values, *given.shapes):
        if name not in variables:
            raise InputError(f"no input named '{name}'; known: {', '.join(variables) or 'none'}")
    asked = {*given.values, *given.shapes}
    variables = {name: v for name, v in variables.items() if v.default is None or name in asked}
    ports = {name: Port.of_variable(v) for name, v in variables.items()}
    sizes = _Sizes(model, ports, given)
    values = {}
    for name, port in ports.items():
        # each from its own stream, so that an input's values do not depend on what the others are
        random = np.random.default_rng([seed, *name.encode()])
        values[name] = given.values[name] if name in given.values else _make(port, variables[name], sizes, random)
    return values


def reader(variable: Variable, model: Model) -> Variable:
    """The input as the side of a split model has it that reads it."""
    if model.host is None or variable.outputs:
        return variable
    return next((v for v in model.graph.inputs if v.name == variable.name and v.name not in model.host.feeds), variable)


def read_given(texts: Iterable[str], model: Model) -> Given:
    """What texts such as `inputs.npz`, `inputs.json`, `x=x.npy`, `x=8x128` and `batch=4` say.

    Raises:
        InputError: a file cannot be read, or a text is none of these.
    """
    ports = {v.name: Port.of_variable(v) for v in model.inputs}
    values: dict[str, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    dims: dict[str, int] = {}
    for text in texts:
        name, _, right = text.rpartition("=")
        if not name:
            values |= load_vectors(Path(text), ports)
        elif re.fullmatch(r"\d+(x\d+)*|\(\)", right):
            shape = tuple(map(int, re.findall(r"\d+", right)))
            if name in ports or len(shape) != 1:
                shapes[name] = shape
            else:
                dims[name] = shape[0]
        else:
            found = list(load_vectors(Path(right), {name: ports[name]} if name in ports else {}).values())
            if len(found) != 1:
                raise InputError(f"{right} holds {len(found)} arrays; give '{name}' a file with one")
            values[name] = found[0]
    return Given({n: typed(v, ports[n]) if n in ports else v for n, v in values.items()}, shapes, dims)


class _Sizes:
    """Sizes of dynamic dimensions, one for each name."""

    def __init__(self, model: Model, ports: Mapping[str, Port], given: Given):
        self.given = given
        self.named: dict[str, int] = dict(given.dims)
        self.sequence = min(SEQUENCE, longest_sequence(model) or SEQUENCE)
        self.batch = BATCH
        known = {n: np.shape(v) for n, v in given.values.items() if ports[n].kind == "tensor"}
        known |= {name: tuple(shape) for name, shape in given.shapes.items()}
        for name, port in ports.items():
            shape = port.shape
            if shape is None or (name in known and len(known[name]) != len(shape)):
                continue
            for dim, size in zip(shape, known.get(name, ()), strict=False):
                if isinstance(dim, str):
                    self.named.setdefault(dim, size)
            if len(shape) == 2:  # the fixed sizes of one input hold for the dynamic ones of the others
                self.batch = shape[0] if isinstance(shape[0], int) else self.batch
                self.sequence = shape[1] if isinstance(shape[1], int) else self.sequence

    def shape(self, port: Port, channels: int | None) -> tuple[int, ...]:
        if port.name in self.given.shapes:
            return tuple(self.given.shapes[port.name])
        shape: Shape = (None, None) if port.shape is None else port.shape
        image = len(shape) == 4 and port.dtype is not None and port.dtype.kind not in "biu"
        return tuple(self._size(dim, axis, image, channels) for axis, dim in enumerate(shape))

    def _size(self, dim: int | str | None, axis: int, image: bool, channels: int | None) -> int:
        if isinstance(dim, int):
            return dim
        if dim is None:
            return self._default("", axis, image, channels)
        if dim not in self.named:
            terms = [t.strip() for t in dim.split("+")]  # such as past_length + length
            if len(terms) > 1 and all(t.isdigit() or t in self.named for t in terms):
                return sum(int(t) if t.isdigit() else self.named[t] for t in terms)
            self.named[dim] = self._default(dim.lower(), axis, image, channels)
        return self.named[dim]

    def _default(self, name: str, axis: int, image: bool, channels: int | None) -> int:
        if "batch" in name:
            return self.batch
        if re.search(r"height|width", name):
            return IMAGE
        if re.search(r"seq|len|token|time", name):
            return self.sequence
        if axis == 0:
            return self.batch
        if image:
            return (channels or CHANNELS) if axis == 1 else IMAGE
        return self.sequence


def _make(port: Port, variable: Variable, sizes: _Sizes, random: np.random.Generator) -> Any:
    if port.kind == "seq" and port.inner:
        return [_make(port.inner, variable, sizes, random) for _ in range(2)]
    if port.kind == "optional" and port.inner:
        return _make(port.inner, variable, sizes, random)
    if port.kind == "map":
        return make_map(port, variable, random)
    if port.kind != "tensor":
        raise InputError(f"input '{port.name}' is a {port.kind}, which is not generated: give it in a .json file")
    what = meaning(variable, port)
    shape = sizes.shape(port, channels(variable) if what.kind == "float" else None)
    return np.asarray(_values(what, shape, port, random)).astype(port.dtype or np.float32)


def _values(what: Meaning, shape: tuple[int, ...], port: Port, random: np.random.Generator) -> Any:
    length = shape[-1] if shape else 1
    match what.kind:
        case "index":
            return random.integers(0, what.rows or _UNBOUNDED, shape)
        case "segment":
            return np.sort(random.integers(0, what.rows or 2, shape), axis=-1) if shape else 0
        case "position":
            return np.broadcast_to(np.arange(length) % (what.rows or length or 1), shape)
        case "mask":
            return _mask(shape, random)
        case "bias":
            return (_mask(shape, random) - 1) * 1e4
        case "length":
            return random.integers(1, (what.rows or SEQUENCE) + 1, shape)
        case "integer":
            wide = port.dtype == np.uint8  # pixels; else what is a label, a flag and an index alike
            return random.integers(0, 256 if wide else 2, shape)
        case "boolean":
            return random.integers(0, 2, shape)
        case "string":
            return random.choice(_WORDS, shape)
    return random.standard_normal(shape)


def _mask(shape: tuple[int, ...], random: np.random.Generator) -> Any:
    """Ones up to a length, then zeros: one length for each of the first axis, the first of them full."""
    if not shape:
        return np.int64(1)
    rows, length = shape[0], shape[-1]
    lengths = random.integers(max(1, length // 4), max(2, length), rows)
    lengths[:1] = length
    return np.broadcast_to((np.arange(length) < lengths.reshape(-1, *[1] * (len(shape) - 1))).astype(np.int64), shape)
