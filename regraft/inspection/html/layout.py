"""Where the nodes of a graph stand: each below those it reads from, in layers, with few crossings.

`fast-sugiyama` does it; where it is not installed, a simpler layout of our own. Edges that go through very many layers
have no say, since a layout makes a point of every layer that an edge goes through.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

COLUMN, ROW = 160, 66
"""Distance of two nodes beside each other, and of two layers."""

_UNIT = 10
_POINTS = 50_000  # that edges may have together
_SLOW = 30_000_000  # nodes times those that read nothing: from there on the library takes many seconds
_SPANS = (1000, 300, 100, 30, 10)

Edge = tuple[int, int]
Point = tuple[float, float]


@dataclass
class Layout:
    """The middle of each node, and the points that an edge goes through between its ends, where it bends."""

    places: list[Point]
    bends: dict[Edge, list[Point]] = field(default_factory=dict)


def lay_out(count: int, edges: Iterable[Edge], left_out: Set[int] = frozenset()) -> Layout:
    """Place the nodes 0 to `count` - 1, but for those that are `left_out`, which have no edges; cycles are no error."""
    unique = list(dict.fromkeys(edge for edge in edges if edge[0] != edge[1]))
    ranks = _ranks(count, unique)
    sources = len({start for start, _ in unique}.difference(end for _, end in unique))
    if importlib.util.find_spec("fast_sugiyama") is None or sources * count > _SLOW:
        return _simple(ranks, unique)
    return _by_library(count, _short(unique, ranks), left_out)


def _ranks(count: int, edges: Sequence[Edge]) -> list[int]:
    """The layer of each node by its longest path; a node that reads nothing stands right above its readers."""
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for start, end in edges:
        after[start].append(end)
        waiting[end] += 1
    sources = [node for node in range(count) if not waiting[node]]
    ranks = [0] * count
    seen = [False] * count
    for first in [*sources, *range(count)]:  # where a cycle is left, it is entered at its first node
        work = [first] if not seen[first] else []
        while work:
            node = work.pop()
            seen[node] = True
            for end in after[node]:
                waiting[end] -= 1
                if not seen[end]:
                    ranks[end] = max(ranks[end], ranks[node] + 1)
                    if not waiting[end]:
                        work.append(end)
    for node in sources:
        ranks[node] = max(0, min((ranks[end] for end in after[node]), default=1) - 1)
    return ranks


def _short(edges: list[Edge], ranks: list[int]) -> list[Edge]:
    """The edges that have a say: all, or all but the long ones; of every node at least one."""
    spans = [abs(ranks[end] - ranks[start]) for start, end in edges]
    limit = next((most for most in _SPANS if sum(s for s in spans if s <= most) <= _POINTS), _SPANS[-1])
    if max(spans, default=0) <= limit:
        return edges
    shortest: dict[int, int] = {}
    for i, edge in enumerate(edges):
        for node in edge:
            if node not in shortest or spans[i] < spans[shortest[node]]:
                shortest[node] = i
    only = set(shortest.values())
    return [edge for i, edge in enumerate(edges) if spans[i] <= limit or i in only]


def _by_library(count: int, edges: list[Edge], left_out: Set[int]) -> Layout:
    from fast_sugiyama import from_edges

    done = Layout([(0.0, 0.0)] * count)
    right, first = 0.0, True
    column, bottom, height = 0.0, 0.0, 0.0
    parts = sorted(from_edges(edges, vertex_spacing=_UNIT) if edges else [], key=lambda part: -len(part[0]))
    alone = set(range(count)).difference(left_out, (node for edge in edges for node in edge))
    every: list[Any] = [*parts, *(([(node, (0, 0))], 0, 0, None) for node in sorted(alone))]
    for positions, _, _, links in every:
        points = {node: (x * COLUMN / _UNIT, -y * ROW / _UNIT) for node, (x, y) in positions}
        left, top = (min(point[axis] for point in points.values()) for axis in (0, 1))
        wide, high = (max(point[axis] for point in points.values()) for axis in (0, 1))
        if not first and bottom + high - top > height:  # the next column beside the largest part
            column, bottom = right + COLUMN, 0.0
        points = {node: (x - left + column, y - top + bottom) for node, (x, y) in points.items()}
        right, bottom = max(right, column + wide - left), bottom + high - top + ROW
        if first:
            first, height, column, bottom = False, max(high - top, 12 * ROW), right + COLUMN, 0.0
        for node, point in points.items():
            if node < count:
                done.places[node] = point
        done.bends |= _bends(count, points, links or ())
    return done


def _bends(count: int, points: dict[int, Point], links: Iterable[Edge]) -> dict[Edge, list[Point]]:
    """The points of edges that go through several layers, but for those on a straight line."""
    links = list(links)
    following = {start: end for start, end in links if start >= count}
    found = {}
    for start, end in links:
        path = [start]
        while end >= count:
            path.append(end)
            end = following[end]
        if start < count and len(path) > 1:
            line = [points[node] for node in (*path, end)]
            found[start, end] = [b for (a, b), (_, c) in pairwise(pairwise(line)) if not a[0] == b[0] == c[0]]
    return found


def _simple(ranks: list[int], edges: list[Edge]) -> Layout:
    """Layers by rank; in a layer each node near the middle of what it reads."""
    layers: dict[int, list[int]] = {}
    for node, rank in enumerate(ranks):
        layers.setdefault(rank, []).append(node)
    before: dict[int, list[int]] = {}
    for start, end in edges:
        if ranks[start] < ranks[end]:
            before.setdefault(end, []).append(start)
    across = [0.0] * len(ranks)
    for rank in sorted(layers):
        wish = {n: sum(across[b] for b in before[n]) / len(before[n]) if n in before else 0.0 for n in layers[rank]}
        row = sorted(layers[rank], key=wish.__getitem__)
        middle = sum(wish.values()) / len(row) - (len(row) - 1) * COLUMN / 2
        for place, node in enumerate(row):
            across[node] = middle + place * COLUMN
    return Layout([(x, float(rank * ROW)) for x, rank in zip(across, ranks, strict=True)])
