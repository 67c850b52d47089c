"""Known arrays as tensors, also at places that are no numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from onnx import helper

from regraft.proving.digits import number_of
from regraft.proving.domain import Domain
from regraft.proving.numbers import closed_form
from regraft.proving.polynomial import Polynomial, constant, summed
from regraft.proving.reach import OutOfReach
from regraft.proving.tensor import At, Tensor, axes_of, filled, limits_of
from regraft.proving.truths import at_least
from regraft.rewriting.facts import Kind

Array = np.ndarray[Any, Any]

MOST_CHANGES = 64
"""An array that changes more often along an axis is not written by cases."""


def dtype_of(to: int) -> np.dtype[Any]:
    """The dtype of a number of ONNX's for it.

    Raises:
        OutOfReach: it is text.
    """
    found = np.dtype(helper.tensor_dtype_to_np_dtype(to))
    if found.kind in "USO":
        raise OutOfReach("a cast to text")
    return found


def kind_of(dtype: np.dtype[Any]) -> Kind:
    """What numbers of a dtype are here."""
    if dtype.kind == "b":
        return "boolean"
    return "integer" if dtype.kind in "iu" or dtype.name.startswith(("int", "uint")) else "real"


def array(values: Array) -> Tensor:
    """A tensor of known numbers."""
    kind = kind_of(values.dtype)
    limits = limits_of(values.dtype)
    if not values.ndim:
        return replace(filled(closed_form(values.item()), kind=kind), limits=limits)

    def elements(at: At, domain: Domain) -> Polynomial:
        return _at(values, at)

    return Tensor(axes_of(" ".join(map(str, values.shape))), elements, kind, limits=limits)


def _at(values: Array, at: At) -> Polynomial:
    """What stands at a place: a choice among the runs of equal numbers, where the place is not known."""
    if not at or (values.size and (values == values.flat[0]).all()):
        return closed_form(values.flat[0].item())
    place = number_of(at[0])
    if place.number is not None:
        if not 0 <= place.number < len(values):
            raise OutOfReach("a place beside an array of numbers")
        return _at(values[int(place.number)], at[1:])
    changes = [n for n in range(1, len(values)) if (values[n] != values[n - 1]).any()]
    if len(changes) > MOST_CHANGES:
        raise OutOfReach("an array of numbers at any index")
    return choice({n: _at(values[n], at[1:]) for n in (0, *changes)}, place)


def choice(values: Mapping[int, Polynomial], place: Polynomial) -> Polynomial:
    """The last of `values` up to a place."""
    starts = sorted(values)
    parts = [(values[starts[0]], 1)]
    for before, start in pairwise(starts):
        parts.append(((values[start] - values[before]) * at_least(place - constant(start)), 1))
    return summed(parts)
