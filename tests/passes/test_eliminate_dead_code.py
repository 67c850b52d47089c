from __future__ import annotations

import pytest

import regraft
from regraft.passes.eliminate_dead_code import EliminateDeadCode


def outputs(model, op):
    node = next(node for node in model.nodes() if node.op == op)
    return [t.name for t in node.outputs]


def test_unread_nodes_go_to_the_last(parse, apply):
    model = parse("g (float[2] x) => (float[2] y) { a = Neg(x) b = Exp(a) c = Add(b, a) y = Neg(x) }")
    result = apply(model, EliminateDeadCode())
    assert result.ops == ["Neg"]
    assert len(model.graph.inputs[0].outputs) == 1


def test_what_is_read_stays(parse, apply):
    model = parse("g (float[2] x, float[2] unread) => (float[2] y, float[2] a) { a = Neg(x) b = Exp(a) y = Add(b, a) }")
    assert not apply(model, EliminateDeadCode()).changes
    assert [t.name for t in model.graph.inputs] == ["x", "unread"]


NORM = "float[4] s = {1, 1, 1, 1}, float[4] z = {0, 0, 0, 0}"


@pytest.mark.parametrize(
    ("opset", "kind", "node", "constants", "left"),
    [
        (21, "float[2,4]", "y, m, i = LayerNormalization(x, s)", NORM, ["y"]),
        (21, "float[1,1,4,4]", "y, i = MaxPool<kernel_shape=[2,2]>(x)", "", ["y"]),
        (9, "float[1,1,4,4]", "y, i = MaxPool<kernel_shape=[2,2]>(x)", "", ["y"]),
        (21, "float[2,4]", "y, m = Dropout(x)", "", ["y"]),
        (21, "float[4]", "u, i, v, y0 = Unique(x) y = Cast<to=1>(v)", "", ["u", "", "v"]),
        (21, "float[2,4]", "y, b = Split<num_outputs=2>(x)", "", ["y", "b"]),
        (21, "float[4]", "y, i = TopK(x, k)", "int64[1] k = {2}", ["y", "i"]),
        (21, "float[2,4]", "y = BatchNormalization(x, s, z, z, s)", NORM, ["y"]),
        (21, "float[2,4]", "y, m, v = BatchNormalization<training_mode=1>(x, s, z, z, s)", NORM, ["y", "m", "v"]),
    ],
)
def test_unread_optional_outputs_are_left_out(parse, apply, opset, kind, node, constants, left):
    model = parse(f"g ({kind} x) => (float y) <{constants}> {{ {node} }}", opset)
    apply(model, EliminateDeadCode())
    assert outputs(model, node.split("=", 1)[1].split("<")[0].split("(")[0].strip()) == left


def test_the_number_of_outputs_of_an_old_batch_normalization_says_what_it_computes(parse):
    model = parse(
        f"g (float[2,4] x) => (float[2,4] y) <{NORM}> {{ y, a, b, c, d = BatchNormalization(x, s, z, z, s) }}", 9
    )
    EliminateDeadCode().run(model, regraft.Context())
    assert len(model.graph.nodes[0].outputs) == 5


def test_unused_initializers_and_functions_go(parse, apply):
    model = parse(
        """g (float[2] x) => (float[2] y) <float[2] w = {1, 2}, float[2] read = {1, 2}> {
            y = local.outer(x) unread = local.alone(read)
        }
        <domain: "local", opset_import: ["" : 21, "local" : 1]> outer (a) => (b) { b = local.inner(a) c = Exp(a) }
        <domain: "local", opset_import: ["" : 21]> inner (a) => (b) { b = Neg(a) }
        <domain: "local", opset_import: ["" : 21]> alone (a) => (b) { b = Neg(a) }"""
    )
    result = apply(model, EliminateDeadCode())
    assert [function.name for function in model.functions] == ["outer", "inner"]
    assert not model.graph.unused
    assert len(list(model.nodes())) == 3
    assert len(result.notes) == 2


def test_what_only_a_body_reads_stays(parse, apply):
    model = parse(
        """g (float[2] x, bool c) => (float[2] y) {
            a = Neg(x) b = Exp(x) d = Sin(x)
            y = If(c) <then_branch = t () => (float[2] u) { u = Neg(a) p = Cos(d) },
                       else_branch = e () => (float[2] v) { v = Neg(b) }>
        }"""
    )
    apply(model, EliminateDeadCode())
    assert [node.op for node in model.nodes()] == ["Neg", "Exp", "If", "Neg", "Neg"]


def test_an_if_that_nothing_reads_goes_with_what_it_reads(parse, apply):
    model = parse(
        """g (float[2] x, bool c) => (float[2] y) {
            a = Neg(x)
            z = If(c) <then_branch = t () => (float[2] u) { u = Neg(a) },
                       else_branch = e () => (float[2] v) { v = Exp(a) }>
            y = Exp(x)
        }"""
    )
    assert apply(model, EliminateDeadCode()).ops == ["Exp"]
    assert len(model.graph.inputs[0].outputs) == 1


def test_unread_outputs_of_an_if_go_from_both_branches(parse, apply):
    model = parse(
        """g (float[2] x, bool c) => (float[2] y) {
            z, y = If(c) <then_branch = t () => (float[2] u, float[2] v) { u = Neg(x) v = Exp(x) },
                          else_branch = e () => (float[2] w, float[2] s) { w = Sin(x) s = Cos(x) }>
        }"""
    )
    apply(model, EliminateDeadCode())
    assert outputs(model, "If") == ["y"]
    assert sorted(node.op for node in model.nodes()) == ["Cos", "Exp", "If"]


LOOP = """g (float[2] x) => ({out}) <int64 n = {{3}}, bool t = {{1}}> {{
    last, all, other = Loop(n, t, x) <body = b (int64 i, bool c, float[2] s) =>
        (bool d, float[2] r, float[2] p, float[2] q) {{ d = Identity(c) r = Neg(s) p = Exp(s) q = Sin(s) }}>
}}"""


@pytest.mark.parametrize(
    ("out", "left", "ops"),
    [
        ("float[2] last", ["last"], {"Neg"}),
        ("float[3,2] other", ["last", "other"], {"Neg", "Sin"}),
        ("float[2] last, float[3,2] all", ["last", "all"], {"Neg", "Exp"}),
        ("float[2] last, float[3,2] all, float[3,2] other", ["last", "all", "other"], {"Neg", "Exp", "Sin"}),
    ],
)
def test_scan_outputs_of_a_loop_go_and_what_it_carries_stays(parse, apply, out, left, ops):
    model = parse(LOOP.format(out=out))
    apply(model, EliminateDeadCode())
    assert outputs(model, "Loop") == left
    assert {node.op for node in model.nodes()} == {"Loop", "Identity", *ops}


def test_scan_outputs_of_a_scan_go_with_their_axes(parse, apply):
    model = parse(
        """g (float[2] x, float[3,2] xs) => (float[2,3] q) {
            last, p, q = Scan<num_scan_inputs=1, scan_output_axes=[0,1], scan_output_directions=[1,0],
                body = b (float[2] s, float[2] e) => (float[2] r, float[2] u, float[2] v) {
                    r = Add(s, e) u = Exp(r) v = Sin(r) }>(x, xs)
        }"""
    )
    apply(model, EliminateDeadCode())
    node = model.graph.nodes[0]
    assert outputs(model, "Scan") == ["last", "q"]
    assert (node.attrs["scan_output_axes"], node.attrs["scan_output_directions"]) == ([1], [0])
    assert {n.op for n in model.nodes()} == {"Scan", "Add", "Sin"}


def test_a_long_dead_chain(parse, apply):
    nodes = "".join(f"a{i + 1} = Neg(a{i}) " for i in range(3000))
    model = parse(f"g (float[1] a0) => (float[1] y) {{ {nodes} y = Exp(a0) }}")
    assert apply(model, EliminateDeadCode()).ops == ["Exp"]
