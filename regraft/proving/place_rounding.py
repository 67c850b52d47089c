"""What rounding may move each place that is proved over the reals, and what it moves on a run.

The model before runs once on each sample, some values at a time. Both sides of a place are bounded from the ranges that
were seen where its region begins, and the side after runs on the very numbers that the side before had there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from regraft.analysis.interval import Interval, hull
from regraft.files.convert import clone
from regraft.ir.graph import Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.ir.schema import is_constant
from regraft.ir.weights import Array, dtype_from_onnx, is_float
from regraft.proving.places import prove_regions
from regraft.proving.prepare import comparable
from regraft.proving.regions import Region, Regions
from regraft.proving.roundoff import Rounding, Roundings, apart, recorded
from regraft.refusal import Refusal
from regraft.shapes import analyse
from regraft.splitting.subgraph import keep
from regraft.verification.contract import Contract
from regraft.verification.places import Place
from regraft.verification.runtime import Session
from regraft.verification.samples import sample
from regraft.verification.sizes import Given

_AT_ONCE = 16
"""Places that are run together: memory follows what they read."""


@dataclass(frozen=True)
class PlaceRounding:
    """How far apart the two ways to compute a value are.

    Attributes:
        value, path: of the `Place`.
        bound: at most, for inputs in the ranges that were seen; None where there is none.
        measured: the largest difference on the run; None where the place was not run.
        reason: why there is no bound, or no run.
        overflow: the first value on the way that may be larger than its dtype holds; empty where none may.
    """

    value: str
    path: str
    bound: float | None = None
    measured: float | None = None
    reason: str = ""
    overflow: str = ""


class _Way(NamedTuple):
    """A place, with the values at which the regions begin: after, each with the value before that it is."""

    region: Region
    before: tuple[Tensor, ...]
    after: Mapping[Tensor, Tensor]
    inside: Set[Tensor]


def prove_and_round(
    before: Model,
    after: Model,
    names: Mapping[str, str],
    contract: Contract | None = None,
    given: Given | None = None,
    seed: int = 0,
    trials: int = 1,
) -> tuple[list[Place], list[PlaceRounding]]:
    """The places of two models, and the rounding of those that are proved, on inputs that are given or made.

    Args:
        names: of renamed inputs and outputs: name before to name after.
        contract: of an approximation; see `prove_models`.
        seed, trials: of inputs that are made, and how many sets of them.

    Raises:
        InputError, RuntimeFailure: the model before does not run.
    """
    pair = comparable(before, after, names)
    places, regions = prove_regions(*pair, contract)
    samples = sample(pair[0], Session(pair[0]).run, given=given, count=trials, seed=seed)
    return places, round_places(*pair, regions, [one.inputs for one in samples])


def round_places(
    before: Model,
    after: Model,
    regions: Regions,
    samples: Sequence[Mapping[str, Any]],
    stated: Mapping[str, Interval] | None = None,
) -> list[PlaceRounding]:
    """What rounding may move at each place, and what it moves on `samples`.

    Args:
        before, after: the models that the regions are of; their open sizes become the largest of the samples.
        samples: inputs of the model before.
        stated: ranges of values before, by name, that take the place of what is seen of them.

    Raises:
        RuntimeFailure: the model before does not run on a sample.
    """
    if before.host is not None:
        whole = Session(before)
        samples = [whole.device_inputs(sample) for sample in samples]
    found: dict[tuple[str, str], PlaceRounding] = {}
    ways: dict[tuple[str, str], _Way] = {}
    seen = _Seen(before, after, samples, stated or {})
    for key, region in regions.of.items():
        way = Refusal("it is in a body") if key[0] else seen.way(region, regions)
        if isinstance(way, Refusal):
            found[key] = PlaceRounding(key[1], key[0], reason=way.reason)
        else:
            ways[key] = way
    for group in _groups(ways):
        found |= {key: seen.place(key, ways[key], differs) for key, differs in seen.run(group, ways).items()}
    return [found[key] for key in regions.of]


def _groups(ways: Mapping[tuple[str, str], _Way]) -> Iterator[list[tuple[str, str]]]:
    """Places that can run together: none of them begins inside another."""
    group: list[tuple[str, str]] = []
    given: set[Tensor] = set()
    inside: set[Tensor] = set()
    for key, way in ways.items():
        if len(group) == _AT_ONCE or inside & way.after.keys() or given & way.inside:
            yield group
            group, given, inside = [], set(), set()
        group.append(key)
        given |= way.after.keys()
        inside |= way.inside
    if group:
        yield group


class _Seen:
    """Two models, and what was seen of the one before."""

    def __init__(
        self, before: Model, after: Model, samples: Sequence[Mapping[str, Any]], stated: Mapping[str, Interval]
    ):
        self.before, self.after, self.samples, self.stated = before.device, after.device, samples, stated
        self.open = clone(self.before), clone(self.after)
        for model in (self.before, self.after):
            _fix(model, samples)
        self.ranges: dict[Tensor, Interval] = {}
        self.bounds = Roundings(self.before), Roundings(self.after)
        self.types = analyse(self.before), analyse(self.after)
        self.here = {t: t for node in before.graph.nodes for t in node.outputs} | {t: t for t in before.graph.inputs}
        self.here |= {made: tensor for tensor, made in before.fed.items()}

    def way(self, region: Region, regions: Regions) -> _Way | Refusal:
        """Where the two regions begin; or why they cannot be run."""
        old, _ = _begin(region.before, region.old, lambda tensor: tensor)
        found, inside = _begin(region.after, region.new, regions.partner)
        if region.before not in self.here or region.after not in self.types[1]:
            return Refusal("it is computed on the host")
        new: dict[Tensor, Tensor] = {}
        for tensor, other in found.items():
            partner = new[tensor] = self.here.get(other, other)
            if partner not in self.here:
                return Refusal(f"'{tensor.name}' is not computed in the main graph before")
            dtypes = [dtype_from_onnx(types[t].code) for types, t in zip(self.types, (partner, tensor), strict=True)]
            if dtypes[0] != dtypes[1]:
                return Refusal(f"'{tensor.name}' is {dtypes[0]} before, and {dtypes[1]} after")
        if not region.before.inputs or not region.after.inputs:
            return Refusal("nothing computes it on one side")
        return _Way(region, tuple(old), new, inside)

    def run(self, group: Sequence[tuple[str, str]], ways: Mapping[tuple[str, str], _Way]) -> dict[Any, float]:
        """Run both sides of some places: how far apart they come out; and note the ranges of what they read."""
        some = [ways[key] for key in group]
        given = {tensor: partner for way in some for tensor, partner in way.after.items()}
        wanted = dict.fromkeys([*given.values(), *(t for way in some for t in (*way.before, way.region.before))])
        session = Session(_showing(self.open[0], list(wanted)))
        other: Session | None = None
        differs = dict.fromkeys(group, 0.0)
        for one in self.samples:
            values = {**one, **session.run({port.name: one[port.name] for port in session.inputs})}
            for tensor in wanted:
                self._note(tensor, values[tensor.name])
            fed = {tensor: values[partner.name] for tensor, partner in given.items()}
            if other is None:
                other = Session(_beginning_at(self.open[1], fed, [way.region.after for way in some]))
            taken = {port.name for port in other.inputs}
            results = other.run({_given(t): value for t, value in fed.items() if _given(t) in taken})
            for key, way in zip(group, some, strict=True):
                gap = _gap(values[way.region.before.name], results[way.region.after.name])
                differs[key] = max(differs[key], gap)
        return differs

    def place(self, key: tuple[str, str], way: _Way, differs: float) -> PlaceRounding:
        """The bound of a place, beside what was measured."""
        ranges = {tensor: self._range(tensor) for tensor in way.before if tensor in self.ranges}
        others = {tensor: self._range(partner) for tensor, partner in way.after.items() if partner in self.ranges}
        found: Rounding = apart(
            self.bounds[0].bound(way.region.before, ranges), self.bounds[1].bound(way.region.after, others)
        )
        reason = "" if found.reason is None else str(found.reason)
        return PlaceRounding(key[1], key[0], found.error, differs, reason, found.overflow)

    def _note(self, tensor: Tensor, value: Array) -> None:
        """Widen the range of a value of floats by what was seen."""
        if not is_float(value.dtype):
            return
        new, old = recorded(value), self.ranges.get(tensor)
        self.ranges[tensor] = new if old is None else hull([old, new])

    def _range(self, tensor: Tensor) -> Interval:
        return self.stated.get(tensor.name, self.ranges[tensor])


def _fix(model: Model, samples: Sequence[Mapping[str, Any]]) -> None:
    """Give the inputs the largest sizes that the samples have."""
    for tensor in model.graph.inputs:
        shapes = {np.shape(sample[tensor.name]) for sample in samples if tensor.name in sample}
        if len({len(shape) for shape in shapes}) == 1:
            tensor.shape = [max(sizes) for sizes in zip(*shapes, strict=True)]


def _begin(value: Tensor, nodes: Set[Node], partner: Any) -> tuple[dict[Tensor, Tensor], set[Tensor]]:
    """The values at which a region begins, each with its partner, and those inside; constants are inside."""
    found: dict[Tensor, Tensor] = {}
    inside: set[Tensor] = set()
    pending = [value]
    while pending:
        tensor = pending.pop()
        if tensor in found or tensor in inside or tensor.is_empty():
            continue
        maker = tensor.inputs[0] if tensor.inputs else None
        other = None if maker in nodes or is_constant(tensor) else partner(tensor)
        if other is not None and tensor is not value:
            found[tensor] = other
            continue
        inside.add(tensor)
        pending += [] if maker is None else reads(maker)
    return found, inside


def _showing(model: Model, values: Sequence[Tensor]) -> Model:
    """A copy that gives these values and nothing else; of its inputs, those that they need."""
    copy = clone(model)
    known = copy.graph.tensors()
    keep(copy, [known[tensor.name] for tensor in values if tensor.inputs])
    copy.graph.inputs = [tensor for tensor in copy.graph.inputs if tensor.outputs]
    return copy


def _beginning_at(model: Model, fed: Mapping[Tensor, Array], values: Sequence[Tensor]) -> Model:
    """A copy that computes `values` from those that are fed, which are inputs of other names."""
    copy = clone(model)
    known = copy.graph.tensors()
    inputs = []
    for tensor, value in fed.items():
        source = Variable(_given(tensor), value.dtype, [None] * value.ndim)
        inputs.append(source)
        for node in list(known[tensor.name].outputs):
            node.inputs[:] = [source if one is known[tensor.name] else one for one in node.inputs]
    copy.graph.inputs = inputs
    keep(copy, [known[tensor.name] for tensor in values])
    copy.graph.inputs = [tensor for tensor in inputs if tensor.outputs]
    return copy


def _given(tensor: Tensor) -> str:
    return f"{tensor.name}.given"


def _gap(one: Array, other: Array) -> float:
    """How far apart two arrays are; what is the same, infinity too, is not apart."""
    a, b = (np.asarray(value).astype(np.float64) for value in (one, other))
    if a.shape != b.shape:
        return math.inf
    with np.errstate(invalid="ignore"):
        apart_by = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    return float(np.nan_to_num(apart_by, nan=math.inf).max(initial=0.0))
