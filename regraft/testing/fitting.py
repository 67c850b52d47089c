"""Shapes that fit: found by trying, so that no table has to know which operator wants what."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

LAYOUTS, TRIES = 12, 400
"""Ranks that are kept, and those that are tried."""
THIN = 4
"""Of each ranks, shapes with one axis of size 1 among larger ones."""
_SIZE = 3


def fitting(names: Sequence[str], fits: Callable[[Shapes], bool]) -> list[Shapes]:
    """Shapes for which `fits` holds, the smallest first: of several ranks, with sizes of 1 and sizes that differ."""
    found: dict[tuple[Shape, ...], Shapes] = {}
    for ranks in _layouts(names, fits):
        square = {name: (_SIZE,) * rank for name, rank in zip(names, ranks, strict=True)}
        for shapes in _sizes(square, fits):
            found[tuple(shapes.values())] = shapes
    return sorted(found.values(), key=lambda shapes: sum(int(np.prod(shape)) for shape in shapes.values()))


def _layouts(names: Sequence[str], fits: Callable[[Shapes], bool]) -> list[tuple[int, ...]]:
    """Ranks for which there are shapes, where every size is the same."""
    found: list[tuple[int, ...]] = []
    for ranks in itertools.islice(_ranks(len(names)), TRIES):
        if ranks not in found and fits({name: (_SIZE,) * rank for name, rank in zip(names, ranks, strict=True)}):
            found.append(ranks)
        if len(found) == LAYOUTS:
            break
    return found


def _ranks(count: int) -> Iterator[tuple[int, ...]]:
    """Ranks of `count` values: equal ones first, then the first and the last apart, then any."""
    for rank in (2, 3, 1):
        yield (rank,) * count
    if count > 1:
        for one, other in itertools.product((2, 3, 1, 4, 0), repeat=2):
            yield (one, *(other,) * (count - 1))
            yield (*(one,) * (count - 1), other)
    yield from ((rank,) * count for rank in (4, 0))
    random = np.random.default_rng(0)
    every = list(itertools.product(range(5), repeat=count)) if count <= 4 else None
    if every is not None:
        yield from (every[i] for i in random.permutation(len(every)))
    else:
        yield from (tuple(map(int, random.integers(0, 5, count))) for _ in range(TRIES))


def _sizes(square: Shapes, fits: Callable[[Shapes], bool]) -> Iterator[Shapes]:
    """Sizes for some ranks, of which `square` is one: ones, all apart, and ones among these."""
    axes = [(name, axis) for name, shape in square.items() for axis in range(len(shape))]
    ones = _with(square, dict.fromkeys(axes, 1))
    if fits(ones):
        yield ones
    apart: Shapes = square
    for number, group in enumerate(_groups(square, axes, fits)):
        wider = _with(apart, dict.fromkeys(group, (2, 4, 5, 3, 6, 7)[number % 6]))
        apart = wider if fits(wider) else apart
    yield apart
    thin = filter(fits, (_with(apart, {axis: 1}) for axis in reversed(axes)))
    yield from itertools.islice(thin, THIN)


def _groups(
    square: Shapes, axes: Sequence[tuple[str, int]], fits: Callable[[Shapes], bool]
) -> Iterator[list[tuple[str, int]]]:
    """The axes that must have one size, found by changing as few as go together."""
    known: set[tuple[str, int]] = set()
    for axis in axes:
        if axis in known:
            continue
        group = [*axes]
        for other in axes:
            fewer = [one for one in group if one != other]
            if other != axis and fits(_with(square, dict.fromkeys(fewer, _SIZE + 1))):
                group = fewer
        known.update(group)
        yield group


def _with(shapes: Shapes, sizes: Mapping[tuple[str, int], int]) -> Shapes:
    return {
        name: tuple(sizes.get((name, axis), size) for axis, size in enumerate(shape)) for name, shape in shapes.items()
    }
