"""The inputs and outputs of a model by sequence: requests are split into rows, put into batches, and answered.

request [b, S, ..]  →  b rows, each without its padding  →  batch [B, longest, ..]  →  rows  →  answer [b, S, ..]
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from regraft import shapes
from regraft.errors import RegraftError
from regraft.ir.model import Model
from regraft.ir.weights import Array
from regraft.packers.fits import PackedShape, Way, read_shape, read_way
from regraft.packers.shown import shown_tokens
from regraft.verification.input_roles import input_role
from regraft.verification.inputs import reader
from regraft.verification.signature import Port
from regraft.wording import count

Arrays = Mapping[str, Array]


class RequestError(RegraftError):
    """A request that does not fit the model's inputs."""


@dataclass(frozen=True)
class Row:
    """One sequence of a request.

    Attributes:
        inputs: by name, without the axis of sequences, and without the tokens after the last that the mask shows.
        length: its tokens, from the first to the last that the mask shows; 1 where the model has no axis of tokens.
        alike: the sizes that nothing pads, which the rows of a call have in common.
    """

    inputs: dict[str, Array]
    length: int
    alike: Hashable


@dataclass(frozen=True)
class Form:
    """How a model's inputs and outputs hold sequences.

    Attributes:
        inputs, outputs: of the model.
        batch: the name of the axis of sequences, or its size where that is fixed.
        sequence: the same for the axis of tokens; None where there is none.
        mask: the input that says which tokens are there; see `shown_tokens`. None if there is none: then rows of
            different lengths do not share a batch.
        packed: the fixed shape of a packed model.
        packing: how attention keeps sequences apart in a packed model.
        together: whether several requests may share a batch.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    batch: int | str | None
    sequence: int | str | None
    mask: str | None
    packed: PackedShape | None
    packing: Way | None
    together: bool

    @classmethod
    def of(cls, model: Model) -> Form:
        """The form of a model, split or not."""
        inputs = tuple(Port.of_variable(v) for v in model.inputs if v.default is None)
        outputs = _outputs(model)
        dims = [port.shape for port in inputs]
        first = {shape[0] if shape else None for shape in dims}
        batch = next(iter(first)) if len(first) == 1 else None
        together = batch is not None and all((port.shape or (None,))[0] == batch for port in outputs)
        kinds = {v.name: input_role(reader(v, model), Port.of_variable(v)).kind for v in model.inputs}
        packing = read_way(model.metadata)
        wide = [p for p in inputs if p.shape and len(p.shape) == 2]
        second = {p.shape[1] for p in wide if p.shape and (packing or _is_of_tokens(p, kinds[p.name]))}
        sequence = next(iter(second)) if len(second) == 1 else None
        masks = [p.name for p in inputs if kinds.get(p.name) == ("mask" if len(p.shape or ()) >= 2 else "length")]
        mask = masks[0] if len(masks) == 1 and isinstance(sequence, str) else None
        packed = read_shape(model.metadata)
        return cls(inputs, outputs, batch, sequence, mask, packed, packing, together)

    @property
    def ragged(self) -> bool:
        """Whether the device takes the tokens of all sequences in one row, of any length."""
        return self.packing is not None and self.packed is None

    @property
    def most(self) -> int | None:
        """The largest number of sequences in a batch; None: any number."""
        fixed = self.batch if isinstance(self.batch, int) else None
        return self.packed.sequences if self.packed is not None else fixed

    def rows(self, request: Arrays) -> list[Row]:
        """The sequences of a request.

        Raises:
            RequestError: an input is missing, unknown, or of another dtype, rank or size; a sequence is longer than
                the packed model takes.
        """
        arrays = self._checked(request)
        if not self.together:
            return [Row(dict(arrays), 1, object())]
        count, alike = len(next(iter(arrays.values()))), self._alike(arrays)
        if self.sequence is None:
            return [Row({name: value[i] for name, value in arrays.items()}, 1, alike) for i in range(count)]
        self._check_fits(arrays, count)
        ends, lengths = self._spans(arrays, count, self._width(arrays))
        return [
            Row({n: _cut(v[i], self._padded[n], int(ends[i])) for n, v in arrays.items()}, int(lengths[i]), alike)
            for i in range(count)
        ]

    def places(self, batch: Arrays) -> int:
        """Tokens that are computed for a batch, padding included; sequences where there are no tokens."""
        if not self.together:
            return 1
        if self.packed is not None:
            return self.packed.rows * self.packed.tokens
        count, width = len(next(iter(batch.values()))), 1 if self.sequence is None else self._width(batch)
        return int(self._spans(batch, count, width)[1].sum()) if self.ragged else count * width

    def joined(self, rows: Sequence[Row], width: int = 0) -> dict[str, Array]:
        """A batch of rows, padded with zeros to the longest; to all of its sequences where their number is fixed.

        Args:
            width: the least number of tokens to pad to.
        """
        if not self.together:
            return dict(rows[0].inputs)
        count = self.batch if isinstance(self.batch, int) else len(rows)
        if count == 1 and not width:
            return {name: value[None] for name, value in rows[0].inputs.items()}
        made: dict[str, Array] = {}
        for port in self.inputs:
            values = [row.inputs[port.name] for row in rows]
            shape = tuple(map(max, zip(*(value.shape for value in values), self._least(port, width), strict=True)))
            batch = made[port.name] = np.zeros((count, *shape), values[0].dtype)
            for i, value in enumerate(values):
                batch[i, ...][tuple(map(slice, value.shape))] = value
        return made

    def _least(self, port: Port, width: int) -> tuple[int, ...]:
        """The least sizes of a row of an input in a batch."""
        return tuple(width if one else 0 for one in self._padded[port.name])

    def parted(self, outputs: Arrays, rows: Sequence[Row]) -> list[dict[str, Array]]:
        """The part of a batch's outputs for each of its rows."""
        if not self.together:
            return [dict(outputs)]
        return [{name: value[i] for name, value in outputs.items()} for i in range(len(rows))]

    def answer(self, request: Arrays, parts: Sequence[Arrays]) -> dict[str, Array]:
        """The outputs of a request from those of its rows, in its own sizes; 0 after the tokens that were run."""
        if not self.together:
            return dict(parts[0])
        width = self._width(request) if isinstance(self.sequence, str) else 0
        return {port.name: self._stacked(port, [part[port.name] for part in parts], width) for port in self.outputs}

    def _stacked(self, port: Port, values: Sequence[Array], width: int) -> Array:
        dims = (port.shape or ())[1:]
        shape = tuple(
            width if isinstance(dim, str) and dim == self.sequence else n
            for dim, n in zip(dims or values[0].shape, values[0].shape, strict=True)
        )
        made = np.zeros((len(values), *shape), values[0].dtype)
        for i, value in enumerate(values):
            common = tuple(slice(min(pair)) for pair in zip(shape, value.shape, strict=True))
            made[i, ...][common] = value[common]
        return made

    def _checked(self, request: Arrays) -> dict[str, Array]:
        """The arrays of a request; all that have an axis of sequences have the same number of them."""
        known = {port.name: port for port in self.inputs}
        if unknown := [name for name in request if name not in known]:
            raise RequestError(f"no input named '{unknown[0]}'; known: {', '.join(known)}")
        if missing := [name for name in known if name not in request]:
            raise RequestError(f"no value for input '{missing[0]}', {known[missing[0]]}")
        sizes: dict[str, tuple[int, str]] = {}
        arrays = {name: np.asarray(value) for name, value in request.items()}
        for name, value in arrays.items():
            port = known[name]
            if port.dtype is not None and value.dtype != port.dtype:
                raise RequestError(f"input '{name}' is {port.dtype}, not {value.dtype}")
            if port.shape is None:
                continue
            if len(port.shape) != value.ndim:
                raise RequestError(f"input '{name}' has {count(len(port.shape), 'axis')}, not {value.ndim}: {port}")
            for axis, (dim, size) in enumerate(zip(port.shape, value.shape, strict=True)):
                if isinstance(dim, int) and size != dim and not (axis == 0 and self.together and size > 0):
                    raise RequestError(f"axis {axis} of input '{name}' has {count(dim, 'element')}, not {size}")
                if isinstance(dim, str) and sizes.setdefault(dim, (size, name))[0] != size:
                    there, other = sizes[dim]
                    raise RequestError(f"'{dim}' is {there} in input '{other}' and {size} in '{name}'")
        counts = {len(value) for value in arrays.values()} if self.together else {1}
        if len(counts) > 1 or 0 in counts or any(0 in value.shape for value in arrays.values()):
            raise RequestError("a request has one or more sequences, of one or more tokens, the same in each input")
        return arrays

    def _alike(self, arrays: Arrays) -> Hashable:
        """The sizes of the axes that are open, and not padded."""
        padded = self.sequence if self.mask is not None else None
        return tuple(
            arrays[port.name].shape[axis]
            for port in self.inputs
            for axis, dim in enumerate(port.shape or ())
            if axis > 0 and not isinstance(dim, int) and (dim is None or dim != padded)
        )

    def _check_fits(self, arrays: Arrays, count: int) -> None:
        """Raise RequestError where a sequence is too long for a packed model."""
        shape = self.packed
        if shape is None or shape.mask not in arrays:
            return
        for i in range(count):
            if misfit := shape.misfit({shape.mask: arrays[shape.mask][i : i + 1]}):
                raise RequestError(f"sequence {i} of the request does not fit the packed model: {misfit}")

    def _width(self, arrays: Arrays) -> int:
        """The tokens of a request's sequences, padding included."""
        return int(np.shape(arrays[self._wide])[1])

    @cached_property
    def _wide(self) -> str:
        """An input that has an axis of tokens."""
        return next(p.name for p in self.inputs if p.shape and len(p.shape) > 1 and p.shape[1] == self.sequence)

    @cached_property
    def _padded(self) -> dict[str, list[bool]]:
        """For each input, the axes of a row that are as long as the request's sequences."""
        return {
            port.name: [isinstance(dim, str) and dim == self.sequence for dim in (port.shape or ())[1:]]
            for port in self.inputs
        }

    def _spans(self, arrays: Arrays, count: int, width: int) -> tuple[Array, Array]:
        """Where each sequence ends, and how many tokens it has; those that show none have one."""
        if self.mask is None:
            return np.full(count, width), np.full(count, width)
        shown = shown_tokens(arrays[self.mask], width)
        if shown.all():
            return np.full(count, width), np.full(count, width)
        ends = (shown * np.arange(1, width + 1)).max(axis=1)
        return np.maximum(ends, 1), np.maximum(ends - np.where(shown.any(axis=1), shown.argmax(axis=1), 0), 1)


def _cut(value: Array, padded: Sequence[bool], end: int) -> Array:
    return value[tuple(slice(end if one else None) for one in padded)]


def _is_of_tokens(port: Port, kind: str) -> bool:
    """Whether an input [B, S] has an element for each token; MXNet's ids are floats."""
    return (port.dtype is not None and port.dtype.kind in "iu") or kind in ("index", "segment", "position")


def _outputs(model: Model) -> tuple[Port, ...]:
    """The outputs of a model, with dimensions named after those of its inputs that they follow from."""
    declared = tuple(map(Port.of_variable, model.outputs))
    if model.host is not None:
        return declared
    facts = shapes.analyse(model)
    known = [facts[tensor].dims for tensor in model.graph.outputs]
    return tuple(
        port if dims is None else replace(port, shape=tuple(d if isinstance(d, int) else str(d) for d in dims))
        for port, dims in zip(declared, known, strict=True)
    )
