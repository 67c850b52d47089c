"""The cut: as few casts as any other way to settle the open groups."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from regraft.ir.graph import Graph, Variable
from regraft.mixed_precision.cut import settle
from regraft.mixed_precision.precision_group import PrecisionGroup, Slot


def make(wanted: Sequence[bool | None], edges: Sequence[tuple[int, int]]) -> list[PrecisionGroup]:
    """A group for each entry of `wanted`, which makes a value, and reads those of others."""
    values = [Variable(f"v{i}") for i in range(len(wanted))]
    read: dict[int, list[Variable]] = {}
    for start, end in edges:
        read.setdefault(end, []).append(values[start])
    groups = []
    for i, lowered in enumerate(wanted):
        graph = Graph(outputs=read.get(i, []))
        reads = [Slot(graph, k) for k in range(len(graph.outputs))]
        groups.append(PrecisionGroup(None, graph, None, reads, [values[i]], lowered))
    return groups


def casts(groups: Sequence[PrecisionGroup], lowered: Sequence[bool | None]) -> int:
    """The values that are made in one precision and read in another."""
    place = {group.writes[0]: i for i, group in enumerate(groups)}
    crossing = {
        slot.tensor for i, u in enumerate(groups) for slot in u.reads if lowered[place[slot.tensor]] != lowered[i]
    }
    return len(crossing)


@given(st.data())
def test_no_other_choice_needs_fewer_casts(data):
    count = data.draw(st.integers(1, 7))
    wanted = data.draw(st.lists(st.sampled_from([True, False, None, None]), min_size=count, max_size=count))
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    edges = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    groups = make(wanted, edges)
    settle(groups)
    assert all(group.lowered == want for group, want in zip(groups, wanted, strict=True) if want is not None)
    choices = itertools.product(*([want] if want is not None else [True, False] for want in wanted))
    found = [group.lowered for group in groups]
    costs = {choice: casts(groups, choice) for choice in choices}
    assert casts(groups, found) == min(costs.values())
    assert sum(map(bool, found)) == min(sum(c) for c, cost in costs.items() if cost == min(costs.values()))


def test_many_units_are_settled():
    count = 5_000
    wanted = [True if i % 7 == 0 else False if i % 5 == 0 else None for i in range(count)]
    groups = make(wanted, [(i, i + k) for i in range(count) for k in (1, 2) if i + k < count])
    settle(groups)
    assert all(group.lowered == want for group, want in zip(groups, wanted, strict=True) if want is not None)


def test_a_long_chain_of_open_units_is_settled():
    count = 5000
    groups = make([True, *[None] * count, False], [(i, i + 1) for i in range(count + 1)])
    settle(groups)
    assert casts(groups, [group.lowered for group in groups]) == 1
