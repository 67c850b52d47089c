"""The meaning of Resize where each element is written several times."""

from __future__ import annotations

from dataclasses import replace

from regraft.proving.call import Call
from regraft.proving.digits import digit, exact, number_of, place_at
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Place, Polynomial, constant
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.reductions import place_of
from regraft.proving.slicing import count_of
from regraft.proving.tensor import FREE, At, Tensor, axis_of, named

_ONE = constant(1)
_REPEATS = {("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil")}
"""Where places are and how they are rounded, so that an element and its copies are neighbours."""


def resize(call: Call) -> Tensor:
    x = call.operand(0)
    where = call.attribute("coordinate_transformation_mode", "half_pixel")
    how = where, call.attribute("nearest_mode", "round_prefer_floor")
    if call.attribute("mode", "nearest") != "nearest" or how not in _REPEATS:
        raise OutOfReach("Resize that interpolates, or rounds in another way")
    if FREE in x.axes or call.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise OutOfReach("Resize of any shape, or to the same aspect ratio")
    for unread in ("antialias", "cubic_coeff_a", "exclude_outside", "extrapolation_value"):
        call.attribute(unread, 0)
    axes = call.attribute("axes", None)
    places = list(range(len(x.axes))) if axes is None else [place_of(axis, x.axes) for axis in axes]
    times = dict(zip(places, _times(call, x, places), strict=True))
    found = [axis_of(count_of(a) * times[n]) if n in times and times[n] != _ONE else a for n, a in enumerate(x.axes)]

    def elements(at: At, domain: Domain) -> Polynomial:
        source: list[Place] = list(at)
        for place, by in times.items():
            if by != _ONE:
                source[place] = place_at(digit(number_of(at[place]), by, count_of(x.axes[place])))
        return x.elements(tuple(source), domain)

    return replace(x, axes=tuple(found), elements=elements)


def _times(call: Call, x: Tensor, places: list[int]) -> list[Polynomial]:
    """How often each element along some axes is written."""
    scales = call.numbers("scales", 2) or None
    sizes = None if scales is not None else call.numbers("sizes", 3)
    given = scales if scales is not None else sizes
    if given is None or len(given) != len(places):
        raise ShapeError(f"Resize of [{named(x.axes)}]")
    counts = [count_of(x.axes[place]) for place in places] if sizes is not None else [_ONE] * len(places)
    found = [exact(one, count) for one, count in zip(given, counts, strict=True)]
    times = [one for one in found if one is not None and one.number is not None and one.number >= 1]
    if len(times) < len(places) or any(one.number is None or one.number.denominator != 1 for one in times):
        raise OutOfReach("Resize by other than whole numbers")
    return times
