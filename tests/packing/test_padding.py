"""What attention can do without is distinguished from what a value holds where all is shown."""

from __future__ import annotations

from regraft import shapes
from regraft.packing.padding import _where_all_are_shown
from regraft.packing.tokens import Tokens
from regraft.testing import parse


def test_what_no_node_makes_holds_what_it_is() -> None:
    """The mask itself shows all; a constant is the number that it is, and no mask."""
    model = parse(
        "g (float[batch, sequence] m) => (float[batch, sequence] y) <float factor = {0.125}> { y = Mul(m, factor) }"
    )
    graph = model.graph
    order = {node: place for place, node in enumerate(graph.nodes)}
    tokens = Tokens.__new__(Tokens)
    object.__setattr__(tokens, "facts", shapes.analyse(model))
    mask, factor = graph.nodes[0].inputs
    assert _where_all_are_shown(mask, graph, order, tokens) == 1.0
    assert _where_all_are_shown(factor, graph, order, tokens) == 0.125
    assert _where_all_are_shown(graph.outputs[0], graph, order, tokens) == 0.125
