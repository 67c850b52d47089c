from __future__ import annotations

import numpy as np
import pytest

from regraft.passes.eliminate_identity import EliminateIdentity

# dtype and shape of x; initializers; nodes from a = Neg(x) to b, which y = Max(b, b) reads
GOES = {
    "identity": ("float[2,3]", "", "b = Identity(a)"),
    "chain": ("float[2,3]", "", "c = Identity(a) d = Identity(c) b = Identity(d)"),
    "cast": ("float[2,3]", "", "b = Cast<to=1>(a)"),
    "cast-like": ("float[2,3]", "", "b = CastLike(a, x)"),
    "cast-round-trip": ("float16[2,3]", "", "c = Cast<to=1>(a) b = Cast<to=10>(c)"),
    "cast-round-trip-int": ("int32[2,3]", "", "c = Cast<to=11>(a) b = Cast<to=6>(c)"),
    "transpose": ("float[2,3]", "", "b = Transpose<perm=[0,1]>(a)"),
    "transpose-twice": ("float[2,3,4]", "", "c = Transpose<perm=[1,2,0]>(a) b = Transpose<perm=[2,0,1]>(c)"),
    "transpose-reversed": ("float[2,3]", "", "c = Transpose(a) b = Transpose(c)"),
    "transpose-mixed": ("float[2,3]", "", "c = Transpose(a) b = Transpose<perm=[1,0]>(c)"),
    "reshape": ("float[2,3]", "int64[2] s = {2, 3}", "b = Reshape(a, s)"),
    "reshape-rest": ("float[2,3]", "int64[2] s = {2, -1}", "b = Reshape(a, s)"),
    "reshape-copy": ("float[n,3]", "int64[2] s = {0, 3}", "b = Reshape(a, s)"),
    "reshape-own-shape": ("float[n,3]", "", "s = Shape(a) b = Reshape(a, s)"),
    "expand": ("float[n,3]", "int64[2] s = {1, 3}", "b = Expand(a, s)"),
    "expand-own-shape": ("float[n,3]", "", "s = Shape(a) b = Expand(a, s)"),
    "flatten": ("float[n,3]", "", "b = Flatten(a)"),
    "unsqueeze-nothing": ("float[2,3]", "int64[0] s = {}", "b = Unsqueeze(a, s)"),
    "squeeze-nothing": ("float[2,3]", "", "b = Squeeze(a)"),
    "squeeze-of-unsqueeze": ("float[2,3]", "int64[2] s = {0, -1}", "c = Unsqueeze(a, s) b = Squeeze(c, s)"),
    "unsqueeze-of-squeeze": ("float[1,3]", "int64[1] s = {0}", "c = Squeeze(a, s) b = Unsqueeze(c, s)"),
    "slice": ("float[n,3]", "int64[1] s = {0}, int64[1] e = {9223372036854775807}", "b = Slice(a, s, e, s)"),
    "slice-known": ("float[n,3]", "int64[1] s = {0}, int64[1] e = {3}, int64[1] i = {1}", "b = Slice(a, s, e, i, i)"),
    "pad": ("float[2,3]", "int64[4] s = {0, 0, 0, 0}", "b = Pad(a, s)"),
    "tile": ("float[2,3]", "int64[2] s = {1, 1}", "b = Tile(a, s)"),
    "resize": ("float[1,1,2,3]", "float[4] s = {1, 1, 1, 1}", 'b = Resize<mode="linear">(a, "", s)'),
    "depth-to-space": ("float[1,4,2,3]", "", "b = DepthToSpace<blocksize=1>(a)"),
    "concat": ("float[2,3]", "", "b = Concat<axis=0>(a)"),
    "max": ("float[2,3]", "", "b = Max(a)"),
    "split": ("float[2,3]", "", "b = Split<num_outputs=1>(a)"),
    "clip-integers": ("int32[2,3]", "", "b = Clip(a)"),
    "reduce": ("float[2,3]", "", "b = ReduceSum<noop_with_empty_axes=1>(a)"),
    "mul": ("float[2,3]", "float o = {1}", "b = Mul(o, a)"),
    "mul-wide": ("float[2,3]", "float[3] o = {1, 1, 1}", "b = Mul(a, o)"),
    "mul-constant-node": ("float[2,3]", "", "o = Constant<value_float=1.0>() b = Mul(a, o)"),
    "div": ("float[2,3]", "float o = {1}", "b = Div(a, o)"),
    "pow": ("float[2,3]", "float o = {1}", "b = Pow(a, o)"),
    "sub": ("float[2,3]", "float o = {0}", "b = Sub(a, o)"),
    "add-negative-zero": ("float[2,3]", "float o = {-0.0}", "b = Add(a, o)"),
    "add-integer": ("int64[2,3]", "int64 o = {0}", "b = Add(o, a)"),
    "neg-twice": ("float[2,3]", "", "c = Neg(a) b = Neg(c)"),
}
STAYS = {
    "cast": ("float[2,3]", "", "c = Cast<to=6>(a) b = Cast<to=1>(c)"),
    "cast-lossy": ("float[2,3]", "", "c = Cast<to=10>(a) b = Cast<to=1>(c)"),
    "cast-lossy-int": ("int32[2,3]", "", "c = Cast<to=1>(a) b = Cast<to=6>(c)"),
    "transpose": ("float[3,3]", "", "b = Transpose<perm=[1,0]>(a)"),
    "reshape": ("float[2,3]", "int64[2] s = {3, 2}", "c = Reshape(a, s) b = Identity(c)"),
    "reshape-unknown": ("float[n,m]", "int64[2] s = {2, 3}", "b = Reshape(a, s)"),
    "reshape-other-shape": ("float[n,3]", "", "n = Transpose(a) s = Shape(n) b = Reshape(a, s)"),
    "expand-more": ("float[2,3]", "int64[3] s = {1, 1, 1}", "b = Expand(a, s)"),
    "expand-unknown": ("float[n,3]", "int64[2] s = {2, 1}", "b = Expand(a, s)"),
    "squeeze": ("float[1,3]", "", "b = Squeeze(a)"),
    "squeeze-maybe": ("float[n,3]", "", "b = Squeeze(a)"),
    "squeeze-other-axes": ("float[1,3]", "int64[1] s = {0}, int64[1] t = {1}", "c = Unsqueeze(a, s) b = Squeeze(c, t)"),
    "slice": ("float[n,3]", "int64[1] s = {0}, int64[1] e = {1}", "b = Slice(a, s, e)"),
    "slice-unknown": ("float[n,3]", "int64[1] s = {0}, int64[1] e = {3}", "b = Slice(a, s, e)"),
    "slice-backwards": (
        "float[4,3]",
        "int64[1] s = {0}, int64[1] e = {9}, int64[1] t = {-1}",
        "b = Slice(a, s, e, s, t)",
    ),
    "pad": ("float[2,3]", "int64[4] s = {0, 0, 0, 1}", "b = Pad(a, s)"),
    "clip": ("float[2,3]", "float o = {0}", "b = Clip(a, o)"),
    "clip-infinities": ("float[2,3]", "", "b = Clip(a)"),
    "clip-above": ("float[2,3]", "float o = {0}", 'b = Clip(a, "", o)'),
    "mul-widens": ("float[2,3]", "float[1,1,1] o = {1}", "b = Mul(a, o)"),
    "mul-widens-unknown": ("float[n,m]", "float[3] o = {1, 1, 1}", "b = Mul(a, o)"),
    "mul-other": ("float[2,3]", "float[3] o = {1, 1, 2}", "b = Mul(a, o)"),
    "div-left": ("float[2,3]", "float o = {1}", "b = Div(o, a)"),
    "sub-left": ("float[2,3]", "float o = {0}", "b = Sub(o, a)"),
    "sub-negative-zero": ("float[2,3]", "float o = {-0.0}", "b = Sub(a, o)"),
    "add-zero": ("float[2,3]", "float o = {0}", "b = Add(a, o)"),
    "reduce": ("float[2,3]", "", "b = ReduceSum(a)"),
}


def model_of(parse, case):
    kind, constants, nodes = case
    dtype = kind.split("[")[0]
    model = parse(f"g ({kind} x) => ({dtype} y) <{constants}> {{ a = Neg(x) {nodes} y = Max(b, b) }}")
    x, a = model.graph.inputs[0], model.graph.nodes[0].outputs[0]
    a.dtype, a.shape = x.dtype, x.shape
    return model


def signed_zeros(model):
    """Values among which are zeros of both signs."""
    x = model.graph.inputs[0]
    shape = [{"n": 2, "m": 3}.get(dim, dim) for dim in x.shape]
    return {"x": np.resize([-0.0, 0.0, 1, -2, 3], shape).astype(x.dtype)}


@pytest.mark.parametrize("case", GOES.values(), ids=GOES)
def test_what_hands_its_input_on_goes(parse, apply, case):
    model = model_of(parse, case)
    assert apply(model, EliminateIdentity(), inputs=signed_zeros(model)).ops == ["Neg", "Max"]


@pytest.mark.parametrize("case", STAYS.values(), ids=STAYS)
def test_what_may_change_its_input_stays(parse, apply, case):
    model = model_of(parse, case)
    expected = [node.op for node in model.graph.nodes if node.op != "Identity"]
    assert apply(model, EliminateIdentity(), inputs=signed_zeros(model)).ops == expected


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("a = Transpose<perm=[1,2,0]>(x) y = Transpose<perm=[1,0,2]>(a)", [[2, 1, 0]]),
        ("a = Transpose<perm=[1,2,0]>(x) y = Transpose(a)", [[0, 2, 1]]),
        ("a = Transpose(x) b = Transpose<perm=[1,2,0]>(a) y = Transpose<perm=[1,0,2]>(b)", [[0, 1, 2]]),
    ],
)
def test_transposes_merge(parse, apply, nodes, expected):
    model = parse(f"g (float[2,3,4] x) => (float y) {{ {nodes} }}")
    result = apply(model, EliminateIdentity())
    if expected == [[0, 1, 2]]:
        assert result.ops == ["Identity"]
    else:
        assert [node.attrs["perm"] for node in model.graph.nodes] == expected


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("a = Reshape(x, s) y = Reshape(a, t)", ["Reshape"]),
        ("a = Flatten<axis=0>(x) y = Reshape(a, t)", ["Reshape"]),
        ("a = Unsqueeze(x, i) b = Squeeze(a, j) y = Reshape(b, t)", ["Reshape"]),
        ("a = Reshape(x, s) y = Reshape(a, copy)", ["Reshape", "Reshape"]),
        ("a = Reshape(x, s) b = Neg(a) c = Reshape(b, t) y = Add(c, a)", ["Reshape", "Neg", "Reshape", "Add"]),
    ],
)
def test_the_last_reshape_counts(parse, apply, nodes, expected):
    constants = "int64[1] s = {6}, int64[2] t = {3, -1}, int64[2] copy = {0, 1}, int64[1] i = {0}, int64[1] j = {1}"
    if "Add" in nodes:
        constants = constants.replace("{3, -1}", "{6, -1}")
    model = parse(f"g (float[1,6] x) => (float y) <{constants}> {{ {nodes} }}")
    assert apply(model, EliminateIdentity()).ops == expected


@pytest.mark.parametrize(
    ("source", "between", "target", "merges"),
    [
        ("float16", "float", "double", True),
        ("int8", "float16", "float", True),
        ("int32", "int64", "uint8", True),
        ("bool", "int32", "float", True),
        ("float", "double", "float16", True),
        ("float", "float16", "double", False),
        ("float16", "float", "int32", False),
        ("int64", "double", "float", False),
        ("int32", "float", "double", False),
    ],
)
def test_casts_merge_where_the_first_loses_nothing(parse, apply, source, between, target, merges):
    codes = {"float": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "double": 11}
    model = parse(
        f"g ({source}[4] x) => ({target}[4] y) {{ a = Cast<to={codes[between]}>(x) y = Cast<to={codes[target]}>(a) }}"
    )
    x = np.array([0, 1, 5, 100], model.graph.inputs[0].dtype)
    assert len(apply(model, EliminateIdentity(), inputs={"x": x}).ops) == (1 if merges else 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("g (float[2] x) => (float[2] y) { y = Identity(x) }", 1),
        ("g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Identity(w) }", 1),
        ("g (float[2] x) => (float[2] y) { a = Neg(x) y = Identity(a) }", 1),
        ("g (float[2] x) => (float[2] y, float[2] z) { y = Neg(x) z = Identity(y) }", 2),
        ("g (float[2] x) => (float[2] y, float[2] z) { a = Neg(x) y = Identity(a) z = Identity(a) }", 2),
        ("g (float[2] x) => (float[2] y) { y = Cast<to=1>(x) }", 1),
    ],
)
def test_outputs_keep_their_names(parse, apply, text, expected):
    model = parse(text)
    names = [t.name for t in model.graph.outputs]
    assert len(apply(model, EliminateIdentity()).ops) == expected
    assert [t.name for t in model.graph.outputs] == names


def test_bodies(parse, apply):
    model = parse(
        """g (float[2] x, bool c) => (float[2] y) {
            a = Neg(x)
            b = Identity(a)
            y = If(c) <then_branch = t () => (float[2] u) { u = Identity(b) },
                       else_branch = e () => (float[2] v) { w = Identity(b) z = Identity(w) v = Exp(z) }>
        }"""
    )
    apply(model, EliminateIdentity())
    assert [node.op for node in model.nodes()] == ["Neg", "If", "Identity", "Exp"]


def test_the_body_of_a_loop_may_give_a_value_twice(parse, apply):
    model = parse(
        """g (float[2] x) => (float[2] y, float[n,2] all) <int64 n = {3}, bool t = {1}> {
            y, all = Loop(n, t, x) <body = b (int64 i, bool c, float[2] s) => (bool d, float[2] r, float[2] r) {
                d = Identity(c) e = Neg(s) r = Identity(e)
            }>
        }"""
    )
    result = apply(model, EliminateIdentity())
    assert [change.rule for change in result.changes] == ["Identity"]


def test_an_attribute_of_a_function_is_not_known(parse, apply):
    model = parse(
        """g (float[2,2] x) => (float[2,2] y) { y = local.turn<p=[1,0]>(x) }
        <domain: "local", opset_import: ["" : 21]> turn<p>(a) => (b) { b = Transpose<perm: ints = @p>(a) }"""
    )
    assert not apply(model, EliminateIdentity()).changes


def test_the_type_of_what_goes_is_kept(parse, apply):
    model = parse("g (float[2,n] x) => (float y) <float[2,n] b> { a = Neg(x) b = Identity(a) y = Exp(b) }")
    apply(model, EliminateIdentity())
    assert model.graph.nodes[0].outputs[0].shape == [2, "n"]
