"""Copies to try passes on."""

from __future__ import annotations

from regraft.legalization.model_pool import Copies
from regraft.pipelines.manager import run
from tests.legality.small import model


def test_a_copy_that_is_left_as_it_was_serves_once_more() -> None:
    before, copies = model("(float[2] x) => (float[2] y) { z = Relu(x) y = Abs(z) }"), Copies()
    copy = copies.of(before)
    assert copy is not before
    assert not run(copy, "eliminate-identity").changed
    copies.give_back(copy, before)
    assert copies.of(before) is copy
    assert copies.of(before) is not copy


def test_a_copy_of_one_model_is_none_of_another() -> None:
    before, copies = model("(float[2] x) => (float[2] y) { y = Relu(x) }"), Copies()
    other = copies.of(before)
    copies.give_back(copies.of(before), before)
    assert copies.of(other) is not before
    assert copies.of(other).graph.nodes[0] is not other.graph.nodes[0]


def test_a_copy_with_inferred_types_does_not_serve_again() -> None:
    before, copies = model("(float[2] x) => (float[2] y) { z = Relu(x) y = Abs(z) }"), Copies()
    copy = copies.of(before)
    run(copy, "infer-shapes")
    copies.give_back(copy, before)
    assert copies.of(before) is not copy
