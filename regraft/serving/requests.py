"""The requests of a load, and their right answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import RegraftError
from regraft.ir.graph import Variable
from regraft.ir.model import Model
from regraft.ir.weights import Array
from regraft.packers.fits import read_shape
from regraft.serving.protocol import Metadata
from regraft.verification.input_roles import InputRole, input_role, longest_sequence
from regraft.verification.inputs import reader
from regraft.verification.runtime import Session
from regraft.verification.signature import Port
from regraft.verification.trials import USUAL
from regraft.verification.values import make_values

DISTINCT = 2048
"""The largest number of different requests in a load, which then repeat."""

_ROOM = 2**30  # bytes of right answers that are kept

_BY_TOKEN = ("index", "segment", "position", "mask", "bias")


class LoadError(RegraftError):
    """A load that cannot be generated for a model, or on this machine."""


@dataclass(frozen=True)
class Batch:
    """The inputs of one request.

    Attributes:
        inputs: by name.
        lengths: tokens of each of its sequences.
        width: the padded length of each sequence.
    """

    inputs: dict[str, Array]
    lengths: tuple[int, ...]
    width: int


@dataclass(frozen=True)
class Inputs:
    """The inputs of a model.

    Attributes:
        ports: its inputs.
        meanings: of each, by name.
        longest: tokens that a sequence may have; None where that is not known.
    """

    ports: tuple[Port, ...]
    meanings: Mapping[str, InputRole]
    longest: int | None = None

    @classmethod
    def of_metadata(cls, metadata: Metadata) -> Inputs:
        """From a server's metadata, with meanings by name and dtype."""
        named = {p.name: input_role(Variable(p.name, p.dtype, list(p.shape or ())), p) for p in metadata.inputs}
        return cls(metadata.inputs, named)

    @classmethod
    def of_model(cls, model: Model) -> Inputs:
        """From a model, with meanings read off its graph."""
        variables = [v for v in model.inputs if v.default is None]
        ports = tuple(map(Port.of_variable, variables))
        read = {p.name: input_role(reader(v, model), p) for p, v in zip(ports, variables, strict=True)}
        return cls(ports, read, _longest(model))

    def batches(self, lengths: Sequence[int], rows: int, seed: int) -> Iterator[Batch]:
        """Batches of sequences with these lengths, in turn, without an end; the same seed gives the same.

        Args:
            rows: sequences of a batch; ignored for a model with a fixed number.

        Raises:
            LoadError: the model has an input that cannot be generated, such as a sequence of tensors.
        """
        for port in self.ports:
            if port.kind != "tensor" or port.dtype is None or port.shape is None:
                raise LoadError(f"input '{port.name}' is {port}: no requests are made for such a model")
        random = np.random.default_rng(seed)
        fixed = [p.shape[0] for p in self.ports if p.shape and self._has_rows(p) and isinstance(p.shape[0], int)]
        rows, endless = fixed[0] if fixed else rows, cycle(lengths)
        while True:
            yield self._batch(list(islice(endless, rows)), random)

    def _batch(self, wanted: list[int], random: np.random.Generator) -> Batch:
        fixed = [dim for port in self.ports for dim in self._token_dims(port) if isinstance(dim, int)]
        most = min([*fixed, *([self.longest] if self.longest else [])], default=max(wanted))
        lengths = np.minimum(wanted, most)
        width = min(fixed, default=int(lengths.max()))
        made = {port.name: self._values(port, lengths, width, random) for port in self.ports}
        return Batch(made, tuple(lengths.tolist()), width)

    def _values(self, port: Port, lengths: Array, width: int, random: np.random.Generator) -> Array:
        assert port.shape is not None
        assert port.dtype is not None
        what = self.meanings[port.name]
        sizes = (len(lengths), *[width] * (len(port.shape) - 1))[: len(port.shape)]
        shape = tuple(d if isinstance(d, int) else size for d, size in zip(port.shape, sizes, strict=True))
        if what.kind == "length":
            return lengths.astype(port.dtype)
        if what.kind not in _BY_TOKEN or len(shape) < 2:
            return make_values(what, shape, port.dtype, USUAL, random)
        shown = (np.arange(shape[-1]) < lengths[:, None]).reshape(len(lengths), *[1] * (len(shape) - 2), shape[-1])
        if what.kind == "mask":
            return np.broadcast_to(shown, shape).astype(port.dtype)
        if what.kind == "bias":
            return np.broadcast_to(np.where(shown, 0, -1e4), shape).astype(port.dtype)
        return make_values(what, shape, port.dtype, USUAL, random) * shown.astype(port.dtype)

    def _has_rows(self, port: Port) -> bool:
        return self.meanings[port.name].kind in (*_BY_TOKEN, "length") and bool(port.shape)

    def _token_dims(self, port: Port) -> list[Any]:
        """The dimensions of an input that count tokens."""
        by_token = self.meanings[port.name].kind in _BY_TOKEN and port.shape is not None and len(port.shape) > 1
        return [port.shape[-1]] if by_token and port.shape else []


class Reference:
    """The right answers: the model's outputs for a batch, which a server's answer is compared with.

    Args:
        path: of an ONNX file or a bundle.
        tolerance: how far a number may be off, and how far as a part of itself.
    """

    def __init__(self, path: Path, tolerance: float):
        self._session, self._tolerance = Session(path), tolerance

    def answered(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Expected]]:
        """Each batch with its right answer, as long as there is room for these.

        Raises:
            RuntimeFailure: the model does not take a batch.
        """
        room = _ROOM
        for batch in batches:
            outputs = self._session.run(batch.inputs)
            yield batch, Expected(outputs, self._session.outputs, batch, self._tolerance)
            room -= sum(value.nbytes for value in outputs.values())
            if room < 0:
                return


@dataclass(frozen=True)
class Expected:
    """The right answer to a request."""

    outputs: Mapping[str, Array]
    ports: Sequence[Port]
    batch: Batch
    tolerance: float

    def wrong(self, answer: Mapping[str, Array]) -> int:
        """The sequences for which an answer is wrong, where there are tokens."""
        right = np.ones(len(self.batch.lengths), bool)
        for port in self.ports:
            value, given = self.outputs[port.name], answer.get(port.name)
            if given is None or given.shape != value.shape or given.dtype != value.dtype:
                return len(right)
            near = self._near(given, value)
            for axis, dim in enumerate(port.shape or ()):
                if axis and not isinstance(dim, int) and value.shape[axis] == self.batch.width:
                    near = near | self._hidden(near.ndim, axis)
            by_row = near.ndim > 0 and len(near) == len(right)
            right &= near.reshape(len(right), -1).all(axis=1) if by_row else near.all()
        return int(np.count_nonzero(~right))

    def _near(self, given: Array, value: Array) -> Array:
        if value.dtype.kind in "fV":
            a, b = given.astype(np.float64), value.astype(np.float64)
            return np.asarray(np.isclose(a, b, rtol=self.tolerance, atol=self.tolerance, equal_nan=True))
        return np.asarray(given == value)

    def _hidden(self, rank: int, axis: int) -> Array:
        """Where an axis counts tokens that are padding: [B, 1, .., width, .., 1]."""
        hidden = np.arange(self.batch.width) >= np.asarray(self.batch.lengths)[:, None]
        return hidden.reshape(len(hidden), *(self.batch.width if i == axis else 1 for i in range(1, rank)))


def _longest(model: Model) -> int | None:
    """Tokens that a sequence may have."""
    packed = read_shape(model.metadata)
    known = [packed.longest if packed else None, longest_sequence(model)]
    return min((length for length in known if length is not None), default=None)
