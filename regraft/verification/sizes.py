"""Sizes of open dimensions, one for each name; those that are sums of others are solved, whatever the order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from regraft.verification.signature import Port, Shape

CHANNELS = 3

Term = tuple[int, str]
"""A whole number times a named dimension; the name is empty for the number alone."""


@dataclass(frozen=True)
class Given:
    """Inputs that the user gives; the others are generated.

    Attributes:
        values: whole inputs, by name.
        shapes: of inputs, by name.
        dims: sizes of dimensions, by the dimension's name; `batch` and `sequence` also of those without a name.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Scale:
    """Sizes for the open dimensions of a model: batches, sequences, and the sides of images.

    Attributes:
        joined: whether a length of only one input is the sum of all others: a mask over past and new tokens.
        stacked: whether an open axis without a name that follows fixed ones is the batch: states of stacked layers.
        apart: whether dimensions with other names have other sizes, and images are wider than high.
    """

    batch: int = 2
    sequence: int = 16
    image: int = 32
    joined: bool = False
    stacked: bool = False
    apart: bool = False


class Sizes:
    """The size of each open dimension.

    Args:
        longest: the number of positions of the model; None if unknown.
    """

    def __init__(self, ports: Mapping[str, Port], given: Given, scale: Scale, longest: int | None = None):
        self.given, self.scale = given, scale
        self.batch = given.dims.get("batch", scale.batch)
        self.sequence = given.dims.get("sequence", min(scale.sequence, longest or scale.sequence))
        self.named: dict[str, int] = dict(given.dims)
        known = {n: np.shape(v) for n, v in given.values.items() if n in ports and ports[n].kind == "tensor"}
        known |= {name: tuple(shape) for name, shape in given.shapes.items()}
        sums: list[tuple[str, int]] = []
        for name, port in ports.items():
            shape = port.shape
            if shape is None or (name in known and len(known[name]) != len(shape)):
                continue
            for dim, size in zip(shape, known.get(name, ()), strict=False):
                if isinstance(dim, str):
                    self.named.setdefault(dim, size)
                    sums.append((dim, size))
            if len(shape) == 2:  # the fixed sizes of one input hold for the dynamic ones of the others
                self.batch = shape[0] if isinstance(shape[0], int) else self.batch
                self.sequence = shape[1] if isinstance(shape[1], int) else self.sequence
        self._solve(sums)
        self._name(ports)

    def shape(self, port: Port, channels: int | None) -> tuple[int, ...]:
        """The shape of an input. `channels`: the number that a convolution expects."""
        if port.name in self.given.shapes:
            return tuple(self.given.shapes[port.name])
        dims = list(_dims(port))
        if self.scale.stacked:
            first = next((axis for dim, axis, _ in dims if not isinstance(dim, int)), 0)
            dims = [(dim, 0 if dim is None and axis == first else axis, image) for dim, axis, image in dims]
        return tuple(
            dim if isinstance(dim, int) else self._size(dim, axis, image, channels) for dim, axis, image in dims
        )

    def _solve(self, known: Sequence[tuple[str, int]]) -> None:
        """Solve sums whose size and all terms but one are known, for that term."""
        for dim, size in known:
            open_terms = [(n, name) for n, name in terms_of(dim) or () if name and name not in self.named]
            if len(open_terms) == 1 and open_terms[0][0] == 1:
                rest = self._total([term for term in terms_of(dim) or () if term != open_terms[0]])
                self.named[open_terms[0][1]] = max(size - rest, 0)

    def _name(self, ports: Mapping[str, Port]) -> None:
        """Give a size to every name that is no sum, and then to the sums."""
        sums: list[tuple[str, Sequence[Term]]] = []
        totals = _totals(ports, self.scale.joined)
        for name, port in ports.items():
            if name in self.given.shapes or name in self.given.values:
                continue
            for dim, axis, image in _dims(port.tensor):
                if isinstance(dim, str) and dim not in self.named:
                    terms: Sequence[Term] | None = totals.get(dim) or terms_of(dim)
                    if terms is None:
                        self.named[dim] = self._default(dim.lower(), axis, image, None) + self._step(axis)
                    else:
                        sums.append((dim, terms))
        for dim, terms in sums:
            for _, term in terms:
                if term:
                    self.named.setdefault(term, self._default(term.lower(), 1, False, None))
            self.named[dim] = max(self._total(terms), 0)

    def _step(self, axis: int) -> int:
        """How much to add to a dimension so that it differs from those that have a size already."""
        return sum(size >= self.scale.sequence for size in self.named.values()) if self.scale.apart and axis else 0

    def _total(self, terms: Sequence[Term]) -> int:
        return sum(n * (self.named[name] if name else 1) for n, name in terms)

    def _size(self, dim: str | None, axis: int, image: bool, channels: int | None) -> int:
        if image and axis == 1 and channels and (dim is None or dim not in self.given.dims):
            return channels
        return self._default("", axis, image, channels) if dim is None else self.named[dim]

    def _default(self, name: str, axis: int, image: bool, channels: int | None) -> int:
        if "batch" in name:
            return self.batch
        if re.search(r"height|width", name):
            return self.scale.image
        if re.search(r"seq|len|token|time", name):
            return self.sequence
        if axis == 0:
            return self.batch
        if image:
            wider = 3 if self.scale.apart and axis == 3 else 0
            return (channels or CHANNELS) if axis == 1 else self.scale.image + wider
        return self.sequence


def _dims(port: Port) -> Iterator[tuple[int | str | None, int, bool]]:
    """Each dimension of an input, its axis, and whether the input looks like an image."""
    shape: Shape = (None, None) if port.shape is None else port.shape
    image = len(shape) == 4 and port.dtype is not None and port.dtype.kind not in "biu"
    return ((dim, axis, image) for axis, dim in enumerate(shape))


def _totals(ports: Mapping[str, Port], joined: bool) -> dict[str, list[Term]]:
    """Lengths that are sums although their names do not name the terms: `total_sequence` beside `past_sequence`."""
    lengths: dict[str, set[str]] = {}
    for port in ports.values():
        for dim, axis, _ in _dims(port.tensor):
            if isinstance(dim, str) and axis > 0 and terms_of(dim) is None:
                lengths.setdefault(dim, set()).add(port.name)
    has_past = any("past" in dim or "cache" in dim for dim in lengths)
    totals = [
        dim
        for dim, holders in lengths.items()
        if (has_past and "total" in dim.lower()) or (joined and len(holders) == 1 and "past" not in dim)
    ]
    rest = [(1, dim) for dim in lengths if dim not in totals]
    return dict.fromkeys(totals, rest) if len(rest) > 1 else {}


def terms_of(dim: str) -> list[Term] | None:
    """A sum such as `past + sequence`, `2*s + 1` or `length - 1`, by its terms; None for a name."""
    parts = re.findall(r"([+-]?)\s*([^+\-\s][^+\-]*?)\s*(?=[+-]|$)", dim.strip())
    terms: list[Term] = []
    for sign, text in parts:
        number, name = 1, ""
        for factor in (part.strip() for part in text.split("*")):
            if re.fullmatch(r"\d{1,12}", factor):
                number *= int(factor)
            elif re.fullmatch(r"[A-Za-z_][\w.]*", factor) and not name:
                name = factor
            else:
                return None
        terms.append((-number if sign == "-" else number, name))
    return terms if len(terms) > 1 or (terms and terms[0] != (1, dim.strip())) else None
