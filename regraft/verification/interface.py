"""Changes of a model that a caller sees: inputs, outputs, their order, types and dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from regraft.ir.model import Model
from regraft.verification.signature import Port, Shape


@dataclass(frozen=True)
class Interface:
    """Inputs that must be given, inputs that have a default, and outputs, each in order."""

    inputs: tuple[Port, ...]
    defaults: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @classmethod
    def of(cls, model: Model) -> Interface:
        """The interface of `model`; before IR version 4 callers cannot override a default."""
        version = model.graph.ir_version
        overridable = version is None or version >= 4
        inputs = [(Port.of_variable(v), v.default is not None) for v in model.inputs]
        return cls(
            tuple(port for port, has_default in inputs if not has_default),
            tuple(port for port, has_default in inputs if has_default and overridable),
            tuple(map(Port.of_variable, model.outputs)),
        )


def differences(
    before: Interface, after: Interface, found: Iterable[Mapping[str, Any]] = (), names: Mapping[str, str] | None = None
) -> list[str]:
    """The differences to the model after, a line each.

    Args:
        found: outputs of the model after, which must fit its declarations.
        names: of inputs and outputs that are called otherwise after.
    """
    names, found = names or {}, list(found)
    lines = _missing("input", before.inputs, after.inputs, names)
    lines += _missing("input with a default", before.defaults, after.defaults, names)
    lines += _missing("output", before.outputs, after.outputs, names)
    lines += _order("inputs", before.inputs, after.inputs, names)
    lines += _order("outputs", before.outputs, after.outputs, names)
    for one, other in _pairs((*before.inputs, *before.defaults), (*after.inputs, *after.defaults), names):
        lines += _types("input", one, other)
        if _open_and_fixed(one.shape) != _open_and_fixed(other.shape):
            lines.append(f"input '{other.name}' was {one}, and is {other}")
    for one, other in _pairs(before.outputs, after.outputs, names):
        lines += _types("output", one, other)
        given = [np.shape(values[other.name]) for values in found if isinstance(values.get(other.name), np.ndarray)]
        wrong = next((shape for shape in given if not _fits(shape, other.shape)), None)
        if wrong is not None and _fits(wrong, one.shape):
            lines.append(f"output '{other.name}' is declared {other}, and came out as {list(wrong)}")
    return lines


def _missing(what: str, before: Sequence[Port], after: Sequence[Port], names: Mapping[str, str]) -> list[str]:
    old, new = {names.get(port.name, port.name) for port in before}, {port.name for port in after}
    gone = [f"{what} '{port.name}' is gone" for port in before if names.get(port.name, port.name) not in new]
    return gone + [f"{what} '{port.name}' is new" for port in after if port.name not in old]


def _order(what: str, before: Sequence[Port], after: Sequence[Port], names: Mapping[str, str]) -> list[str]:
    old = [names.get(port.name, port.name) for port in before]
    new = [port.name for port in after]
    if sorted(old) != sorted(new) or old == new:
        return []
    return [f"the {what} are in another order: {', '.join(new)}; they were {', '.join(old)}"]


def _pairs(before: Iterable[Port], after: Iterable[Port], names: Mapping[str, str]) -> list[tuple[Port, Port]]:
    new = {port.name: port for port in after}
    return [(port, new[name]) for port in before if (name := names.get(port.name, port.name)) in new]


def _types(what: str, before: Port, after: Port) -> list[str]:
    old, new = before.tensor.dtype, after.tensor.dtype
    # asked by `is`: numpy takes None for float64
    if before.kind == after.kind and (old is None or new is None or old == new):
        return []
    return [f"{what} '{after.name}' was {before}, and is {after}"]


def _open_and_fixed(shape: Shape | None) -> tuple[int | None, ...] | None:
    """Fixed dimensions by their size, open ones by None: their names mean nothing to a caller."""
    return None if shape is None else tuple(dim if isinstance(dim, int) else None for dim in shape)


def _fits(found: tuple[int, ...], declared: Shape | None) -> bool:
    if declared is None:
        return True
    return len(found) == len(declared) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(declared, found, strict=True)
    )
