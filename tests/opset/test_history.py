"""What the schemas say of each change, and that every change which they do not answer has an adapter both ways."""

from __future__ import annotations

import pytest

from regraft.ir import schema
from regraft.opset import history
from regraft.opset.expand import has_body
from regraft.opset.plan import FAMILIES
from regraft.opset.table import DOWN, UP

CHANGES = [
    (op, opset)
    for op in sorted(schema.names())
    for opset in range(history.OLDEST + 1, history.NEWEST + 1)
    if (found := schema.find(op, opset)) and found.since_version == opset
]
LOST = {("Scan", 9), ("Upsample", 7)}
"""Forms that lived for one opset each, before the oldest that exporters write; a model with one is refused."""


def test_the_next_change_is_found_both_ways() -> None:
    assert history.next_change("Squeeze", 11, 20) == 13
    assert history.next_change("Squeeze", 20, 11) == 13
    assert history.next_change("Squeeze", 20, 20) is None
    assert history.next_change("Gelu", 20, 17) == 20


def test_a_change_that_only_widens_breaks_nothing() -> None:
    change = history.change("Add", 14)
    assert not change.breaks
    assert change.widens
    assert not change.narrows


@pytest.mark.parametrize(
    ("op", "opset", "why"),
    [
        ("Squeeze", 13, "attribute axes is gone"),
        ("Softmax", 13, "attribute axis has another default"),
        ("Upsample", 10, "it is deprecated"),
    ],
)
def test_what_breaks_is_named(op: str, opset: int, why: str) -> None:
    assert why in history.change(op, opset).breaks


def test_every_break_has_an_adapter_up() -> None:
    broken = {(op, opset) for op, opset in CHANGES if history.change(op, opset).breaks}
    assert broken - UP.keys() == LOST


def test_every_break_has_a_way_down() -> None:
    broken = {(op, opset) for op, opset in CHANGES if opset > history.LOWEST and history.change(op, opset).breaks}
    ways = {(op, opset) for op, opset in broken if (op, opset) in DOWN or has_body(op, opset)}
    deprecated = {(op, opset) for op, opset in broken if history.change(op, opset).new.deprecated}
    assert broken - ways - deprecated == set()


def test_every_adapter_stands_at_a_change() -> None:
    assert FAMILIES
    assert {*UP, *DOWN} <= {*CHANGES}


@pytest.mark.parametrize(
    ("attrs", "inputs", "why"),
    [
        ({}, 1, None),
        ({"allowzero": 0}, 2, None),
        ({"allowzero": 1}, 2, "attribute allowzero came with opset 14"),
        ({}, 3, "input 2 came with opset 14"),
    ],
)
def test_only_what_is_used_is_missed(attrs: dict[str, int], inputs: int, why: str | None) -> None:
    assert history.change("Reshape", 14).unexpressed(attrs, inputs, 1) == why
