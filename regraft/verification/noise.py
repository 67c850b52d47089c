"""Rounding noise: how far the outputs of a model move by rounding alone, on given inputs.

Two ways to write a function differ in the rounding of their intermediate results. The effect on the outputs is a
property of the model, not of a contract, so it is measured. The model runs again several times with its weights and
inputs each moved by at most one ulp; in doubtful cases also with ONNX Runtime's optimisations on, and in float64 if
there are kernels. The noise of an element is the largest movement seen. Right rewrites are within a few times the
noise, subtle faults at 13 times and more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import onnx

from regraft.errors import RegraftError
from regraft.files.convert import Header
from regraft.ir.graph import Constant, subgraphs
from regraft.ir.model import Model
from regraft.ir.weights import Array
from regraft.verification.deviation import leaves
from regraft.verification.input_roles import TABLES, sizing_values
from regraft.verification.twin import graphs, widened_to_double

FACTOR = 10.0
"""A rewrite may be this many times as far from the original as rounding takes the original from itself."""

_PLAIN = 2  # runs of moved weights before the others
_OPTIMIZED, _WIDE = -1, -2  # the others
_COPIES = 64  # of one weight
_BUDGET = 2**29  # bytes of weights that are moved: beyond, the rest stays mapped from its file
_TABLE = 2**20  # bytes of a table beyond which it stays as it is: few of its rows are looked up
_FLOATS = ("float32", "float64")
_CODES = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
_PERIOD = 65_521  # after so many elements the steps repeat: a prime, so that no axis sees it
_CAP = 30.0  # the most that optimisations may add to the noise of moved weights: they have faults, too


class Moved:
    """Weights moved by at most one ulp each; a change of `runtime.Session`.

    A scalar, or a weight with several users, stays: moving one constant that a thousand nodes share is no rounding.
    """

    def __init__(self, names: Collection[str], seed: int):
        self.names, self._seed = names, seed

    def __call__(self, name: str, array: Array) -> Array:
        return moved(array, np.random.default_rng([self._seed, *name.encode()]))


class Noise:
    """The noise of every output, on several sets of inputs.

    Args:
        open_session: opens the model, with `optimize` and `change` as a Session takes them, or with `wide` its twin in
            float64.
        trials: the sets of inputs.
        base: the model's outputs for each, unmoved.
    """

    def __init__(
        self,
        model: Model,
        open_session: Callable[..., Any],
        trials: Sequence[Mapping[str, Any]],
        base: Sequence[Mapping[str, Any]],
    ):
        self._model, self._open, self._trials = model, open_session, trials
        self._base = [dict(leaves(values)) for values in base]
        self._spread: list[dict[str, Array]] = [{} for _ in trials]
        self._optimized: list[dict[str, Array]] = [{} for _ in trials]
        self._names = movable(model)
        self._done: dict[int, set[int]] = {}

    def measure(self, runs: int, trial: int = 0) -> None:
        """Make at least so many runs of a trial; slow ones are left out where two are enough."""
        for seed in (*range(1, runs + 1), *((_OPTIMIZED, _WIDE) if runs > _PLAIN else ())):
            done = self._done.setdefault(seed, set())
            if trial in done:
                continue
            # nearly every trial asks for the first run; more are for single elements, so one trial goes alone at first
            rest = [n for n in range(len(self._trials)) if n not in done] if seed == 1 or done else [trial]
            done.update(rest)
            if seed == _OPTIMIZED:
                self._run(self._optimized, rest, lambda given: given, optimize=True)
            elif seed == _WIDE:
                self._run(self._spread, rest, widened_to_double, wide=True)
            else:
                self._run(self._spread, rest, partial(_moved_inputs, seed=seed), change=Moved(self._names, seed))

    def unit(self, trial: int, name: str) -> Array | None:
        """The noise of each element of an output, as float64; None if no run gave an output of the same form."""
        base = self._base[trial][name]
        spread = self._spread[trial].get(name)
        optimized = self._optimized[trial].get(name)
        if spread is None and optimized is None:
            return None
        unit = np.zeros(np.shape(base)) if spread is None else spread
        if optimized is not None:
            peak = float(unit.max(initial=0.0))
            unit = np.maximum(unit, np.minimum(optimized, _CAP * peak) if peak else optimized)
        return np.maximum(smoothed(unit), _relative(unit, np.asarray(base)))

    def moves(self, trial: int, name: str) -> Array:
        """Where an output that is no float changed in some run."""
        places = [held[trial][name] for held in (self._spread, self._optimized) if name in held[trial]]
        return np.any(places, axis=0) if places else np.zeros(np.shape(self._base[trial][name]), bool)

    def _run(
        self,
        into: list[dict[str, Array]],
        trials: Iterable[int],
        prepare: Callable[[Any], Mapping[str, Any]],
        **options: Any,
    ) -> None:
        try:
            session = self._open(**options)
        except RegraftError:  # a model that does not open this way says nothing about its noise
            return
        for trial in trials:
            held = into[trial]
            try:
                found = dict(leaves(session.run(prepare(self._trials[trial]))))
            except RegraftError:  # an input moved out of the range that the model takes
                continue
            for name, value in self._base[trial].items():
                step = _movement(value, found.get(name))
                if step is not None:
                    held[name] = np.maximum(held[name], step) if name in held else step


def unshared(header: Header, fixed: Collection[str]) -> Header:
    """The same model, in which each node has its own copy of the weights that several read, but for those in `fixed`.

    Moving one constant that a thousand nodes share is no rounding; moving a thousand is.
    """
    graph = header.proto.graph
    places: dict[str, list[tuple[int, int]]] = {}
    for number, node in enumerate(graph.node):
        for place, name in enumerate(node.input):
            places.setdefault(name, []).append((number, place))
    inner = {name for body in graphs(graph) if body is not graph for node in body.node for name in node.input}
    kept = inner.union(fixed, (value.name for value in (*graph.input, *graph.output)))
    shared = [
        tensor
        for tensor in graph.initializer
        if tensor.name not in kept
        and tensor.data_type in _CODES
        and math.prod(tensor.dims) > 1
        and 1 < len(places.get(tensor.name, ())) <= _COPIES
    ]
    if not shared:
        return header
    proto = onnx.ModelProto()
    proto.CopyFrom(header.proto)
    for tensor in shared:
        for copy, (number, place) in enumerate(places[tensor.name][1:]):
            added = proto.graph.initializer.add()
            added.CopyFrom(tensor)
            added.name = proto.graph.node[number].input[place] = f"{tensor.name}.{copy}.unshared"
    return Header(proto, header.values)


def movable(model: Model) -> list[str]:
    """The weights that may be moved: float initializers of the main graph with one reader, smallest first."""
    sizing, room, names = sizing_values(model), _BUDGET, []
    found: dict[str, Constant] = {}
    for side in model.sides:
        uses: dict[Constant, int] = {}
        for node in side.nodes():
            for tensor in node.inputs:
                if isinstance(tensor, Constant):
                    uses[tensor] = uses.get(tensor, 0) + 1
        outer = {
            tensor
            for node in side.graph.nodes
            for body in subgraphs(node)
            for inner in body.nodes
            for tensor in inner.inputs
        }
        found |= {
            tensor.name: tensor
            for tensor, count in uses.items()
            if count == 1
            and tensor not in sizing
            and tensor not in outer
            and tensor.size > 1
            and not (tensor.nbytes > _TABLE and _is_table(tensor))
            and getattr(tensor.dtype, "name", "") in _FLOATS
        }
    for name, tensor in sorted(found.items(), key=lambda item: item[1].nbytes):
        room -= tensor.nbytes
        if room < 0:
            break
        names.append(name)
    return names


def _is_table(tensor: Constant) -> bool:
    return (tensor.outputs[0].op, 1) in TABLES and tensor.outputs[0].inputs[0] is tensor


def moved(values: Array, random: np.random.Generator) -> Array:
    """Each element moved by one ulp up or down, or not at all; values that are no floats stay."""
    if values.dtype.name not in _FLOATS:
        return values
    eps = values.dtype.type(ml_dtypes.finfo(values.dtype).eps)
    factors = 1 + random.integers(-1, 2, min(values.size, _PERIOD), dtype=np.int8).astype(values.dtype) * eps
    flat = np.ascontiguousarray(values).reshape(-1)
    found = np.empty_like(flat)
    whole = flat.size - flat.size % _PERIOD
    with np.errstate(over="ignore", invalid="ignore"):
        if whole:
            np.multiply(flat[:whole].reshape(-1, _PERIOD), factors, out=found[:whole].reshape(-1, _PERIOD))
        np.multiply(flat[whole:], factors[: flat.size - whole], out=found[whole:])
    return found.reshape(values.shape)


def smoothed(unit: Array) -> Array:
    """Raise each element to the mean along one axis at least: a single element may happen not to move."""
    means = [
        np.broadcast_to(unit.mean(axis=a, keepdims=True), unit.shape) for a in range(unit.ndim) if unit.shape[a] > 1
    ]
    return np.maximum(unit, np.min(means, axis=0)) if means else unit


def around(unit: Array) -> Array:
    """The largest median along an axis: what more runs may find of an element that did not move yet, jumps apart."""
    if not unit.size:
        return unit
    medians = [np.broadcast_to(np.median(unit, axis=a, keepdims=True), unit.shape) for a in range(unit.ndim)]
    return np.max(medians, axis=0) if medians else unit


def _relative(unit: Array, base: Array) -> Array:
    """What each element would move by if it moved, relative to its size, as the median of all does."""
    size = np.nan_to_num(np.abs(base.astype(np.complex128 if base.dtype.kind == "c" else np.float64)), posinf=0.0)
    nonzero = size > 0
    return np.asarray(size * np.median(unit[nonzero] / size[nonzero])) if nonzero.any() else np.zeros(base.shape)


def _moved_inputs(inputs: Mapping[str, Any], *, seed: int) -> dict[str, Any]:
    return {
        name: moved(value, np.random.default_rng([seed, *name.encode()])) if isinstance(value, np.ndarray) else value
        for name, value in inputs.items()
    }


def _movement(base: Any, other: Any) -> Array | None:
    """How far each element moved; if it is no float, whether it changed; None if the form is another."""
    if base is None or other is None:
        return None
    before, after = np.asarray(base), np.asarray(other)
    if before.shape != after.shape:
        return None
    if not _is_float(before.dtype):
        return np.asarray(before != after)
    wide = np.complex128 if before.dtype.kind == "c" else np.float64
    with np.errstate(invalid="ignore", over="ignore"):
        return np.nan_to_num(np.abs(after.astype(wide) - before.astype(wide)), nan=0.0, posinf=0.0)


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "fc" or (dtype.isbuiltin == 2 and "float" in dtype.name)
