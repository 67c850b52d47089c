"""What a user may call the sizes of a model: its inputs, its dimensions, and `batch` and `sequence`, whatever the model
calls these."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from regraft.errors import RegraftError, UnknownNameError
from regraft.ir.graph import Variable
from regraft.ir.model import Model
from regraft.verification.input_roles import input_role, longest_sequence
from regraft.verification.signature import Port
from regraft.verification.sizes import Given, Scale, Sizes, terms_of

BATCH, SEQUENCE = "batch", "sequence"

Dim = int | str | None

_USUAL = Scale(batch=1, sequence=128, image=224)
_OF_TOKENS = ("index", "segment", "position", "mask")


def known_sizes(model: Model) -> list[str]:
    """The names that sizes of `model` may be given by: its inputs, its open dimensions, and the roles that it has."""
    roles = [role for role in (BATCH, SEQUENCE) if any(_axes(model, role))]
    return list(dict.fromkeys([*(t.name for t in model.inputs), *open_dimensions(model), *roles]))


def open_dimensions(model: Model) -> list[str]:
    """The names of the dimensions that the inputs leave open."""
    return list(dict.fromkeys(dim for t in model.inputs for dim in t.shape or () if isinstance(dim, str)))


def own_dimensions(model: Model, sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes of dimensions by the model's own names, where it has any. Raises as `own_sizes` does.

    A name may be a term of a sum, as `past` is of `past + sequence`.
    """
    dims = open_dimensions(model)
    own = {*dims, *(name for dim in dims for _, name in terms_of(dim) or ())}
    found: dict[str, int] = {}
    for name, size in sizes.items():
        known = {} if name in own else own_sizes(model, {name: (size,)})
        found |= {dim: size for dim in known if dim in own} or {name: size}
    return found


def own_sizes(model: Model, given: Mapping[str, tuple[Dim, ...]]) -> dict[str, tuple[Dim, ...]]:
    """The same sizes by the model's own names: `batch=8` as `batch_size=8`, or, where it has no name, as `ids=8x?`.

    Raises:
        UnknownNameError: no input, dimension or role of the model has the name.
        RegraftError: a role has another size in the model, or several names, of which the user must choose.
    """
    own = {tensor.name for tensor in model.inputs} | set(open_dimensions(model))
    found: dict[str, tuple[Dim, ...]] = {}
    for name, dims in given.items():
        if name in own:
            _merge(found, name, dims)
            continue
        axes = list(_axes(model, name))
        if not axes:
            raise UnknownNameError("input or dimension", name, known_sizes(model))
        if len(dims) != 1:
            raise RegraftError(f"'{name}' is one dimension, not {len(dims)}")
        for own_name, shape in _by_own_names(name, dims[0], axes):
            _merge(found, own_name, shape)
    return found


def example_sizes(model: Model) -> dict[str, tuple[int, ...]]:
    """Sizes that fix every open dimension of the inputs: one of a batch, 128 tokens where the model has as many."""
    ports = {tensor.name: Port.of_variable(tensor) for tensor in model.inputs if tensor.default is None}
    sizes = Sizes(ports, Given(), _USUAL, longest_sequence(model))
    found: dict[str, tuple[int, ...]] = {}
    for name, port in ports.items():
        shape = port.shape or ()
        if None in shape:
            found[name] = sizes.shape(port, None)
        else:
            found |= {dim: (sizes.named[dim],) for dim in shape if isinstance(dim, str)}
    return found


def _by_own_names(role: str, size: Dim, axes: list[tuple[Variable, int]]) -> Iterator[tuple[str, tuple[Dim, ...]]]:
    """A size of a role by the names of its dimensions, and as shapes of inputs where these have no name."""
    dims = [_dims(tensor)[axis] for tensor, axis in axes]
    names = sorted({dim for dim in dims if isinstance(dim, str)})
    if len(names) > 1:
        raise RegraftError(f"'{role}' may be {' or '.join(names)}: say which, as in {names[0]}={size}")
    fixed = {dim for dim in dims if isinstance(dim, int)}
    if len(fixed) == len(set(dims)) and isinstance(size, int) and fixed != {size}:
        raise RegraftError(f"'{role}' is {' and '.join(map(str, sorted(fixed)))} in the model, not {size}")
    yield from ((name, (size,)) for name in names)
    for tensor, axis in axes:
        shape = _dims(tensor)
        if shape[axis] is None:
            yield tensor.name, tuple(size if place == axis else None for place in range(len(shape)))


def _merge(found: dict[str, tuple[Dim, ...]], name: str, dims: tuple[Dim, ...]) -> None:
    """Add what is given of a shape, which may be given by the input, the batch and the sequence, each a part of it."""
    before = found.setdefault(name, dims)
    if len(before) == len(dims):
        found[name] = tuple(old if new is None else new for old, new in zip(before, dims, strict=True))


def _axes(model: Model, role: str) -> Iterator[tuple[Variable, int]]:
    """The axes of the inputs that have a role, by the names of their dimensions, else by what the inputs mean."""
    shaped = [tensor for tensor in model.inputs if tensor.default is None and tensor.shape]
    if role == BATCH:
        named = [(t, 0) for t in shaped if isinstance(dim := _dims(t)[0], str) and BATCH in dim.lower()]
        yield from named or ((t, 0) for t in shaped if len(_dims(t)) > 1)
    elif role == SEQUENCE:
        tokens = [(t, 1) for t in shaped if len(_dims(t)) == 2 and _is_of_tokens(t)]
        yield from [(t, axis) for t, axis in tokens if _is_length(_dims(t)[axis])] or tokens


def _dims(tensor: Variable) -> tuple[Dim, ...]:
    """Its shape; empty where the rank is not known."""
    return tensor.shape or ()


def _is_length(dim: Dim) -> bool:
    return isinstance(dim, str) and bool(re.search("seq|len|token|time", dim, re.I)) and terms_of(dim) is None


def _is_of_tokens(tensor: Variable) -> bool:
    """Whether an input `[batch, sequence]` has an element for each token; past tokens do not count."""
    dim = _dims(tensor)[1]
    if isinstance(dim, str) and re.search("past|total|cache", dim, re.I):
        return False
    port = Port.of_variable(tensor)
    is_whole = port.dtype is not None and port.dtype.kind in "iub"
    return is_whole or input_role(tensor, port).kind in _OF_TOKENS
