"""What `when` and `unless` of a gap mean."""

from __future__ import annotations

import pytest

from regraft.legality.verdict import check
from tests.legality.small import model, profile


def gaps(graph: str, operator: str, condition: str, opset: int = 20) -> int:
    """How many nodes a gap with the condition refuses."""
    found = check(model(graph, opset), profile(f'[[gap]]\noperator = "{operator}"\nreason = "no"\n{condition}'))
    assert all(one.operator == operator and one.reason == "no" for one in found)
    return sum(len(one.nodes) for one in found)


WHERE = "(bool[2] c, float[2] a, float[2] b) => (float[2] y) { y = Where(c, a, b) }"
EQUAL = "(int64[2] a, int64[2] b) => (bool[2] y) { y = Equal(a, b) }"
SLICE = "(float[N,4,8] x) => (float[N,1,8] y) <int64[1] i = {1}, int64[1] e = {2}> { y = Slice(x, i, e, i) }"
GATHER = "(int64[3] i) => (float[3,2] y) <float[4,2] t = {1,2,3,4,5,6,7,8}> { y = Gather(t, i) }"
CAST = "(float[2] x) => (double[2] y) { y = Cast <to = 11> (x) }"
MATMUL = "(float[B,2,3,4] x, float[4,5] w) => (float[B,2,3,5] y) { y = MatMul(x, w) }"
SOFTMAX = "(float[2,3,4] x) => (float[2,3,4] y) { y = Softmax <axis = AXIS> (x) }"
CONV = (
    "(float[1,3,8,8] x) => (float[1,1,6,6] y) <float[1,3,3,3] w = {" + ",".join(["1"] * 27) + "}>"
    " { y = Conv <dilations = [1, 2], kernel_shape = [3, 3], pads = [0, 1, 0, 1]> (x, w) }"
)
RESHAPE = "(float[2,3] x) => (float[6] y) <int64[1] s = {6}> { y = Reshape <allowzero = 1> (x, s) }"
COMPUTED = "(float[2,3] x, int64[1] s) => (float[N] y) { y = Reshape(x, s) }"
ADD = "(float[2] x) => (float[2] y) <float[2] b = {-10000.0, 0.0}> { y = Add(x, b) }"
NORM = "(float[2,4] x, float[4] s) => (float[2,4] y) { y = LayerNormalization(x, s) }"
MEAN = "(float[2,4] x) => (float[2,1] y) <int64[1] a = {1}> { y = ReduceMean(x, a) }"
MEANS = "(float[2,4] x, int64[1] a) => (float[N,M] y) { y = ReduceMean(x, a) }"
UNSQUEEZE = "(float[2,4] x) => (float[2,4,1] y) <int64[1] a = {2}> { y = Unsqueeze(x, a) }"
CONCAT = "(float[2] x, float[2] y, float[2] z) => (float[6] o) { o = Concat <axis = 0> (x, y, z) }"
CHAIN = "(float[2] x) => (float[2] y) { t = Relu(x) y = Neg(t) }"
TRANSPOSE = "(float[1,2,3] x) => (float[1,3,2] y) { y = Transpose <perm = [0, 2, 1]> (x) }"


@pytest.mark.parametrize(
    ("graph", "operator", "condition", "refused"),
    [
        # what carries data, and what does not
        (WHERE, "Where", 'when = { dtype = ["bool"] }', False),
        (WHERE, "Where", 'when = { dtype = ["float32"] }', True),
        (EQUAL, "Equal", 'when = { dtype = ["bool"] }', False),
        (EQUAL, "Equal", 'when = { dtype = ["int64"] }', True),
        (SLICE, "Slice", 'unless = { dtype = ["float32"] }', False),
        (GATHER, "Gather", 'when = { dtype = ["int64"] }', True),
        # some of the values, or every one
        (CAST, "Cast", 'when = { dtype = ["float64"] }', True),
        (CAST, "Cast", 'unless = { dtype = ["float64"] }', True),
        (CAST, "Cast", 'unless = { dtype = ["float64", "float32"] }', False),
        (MATMUL, "MatMul", "when = { rank = { min = 4 } }", True),
        (MATMUL, "MatMul", "unless = { rank = 4 }", True),
        (MATMUL, "MatMul", "unless = { rank = [2, 4] }", False),
        (MATMUL, "MatMul", "when = { rank = { min = 5 } }", False),
        (MATMUL, "MatMul", 'when = { shape = "dynamic" }', True),
        (MATMUL, "MatMul", 'unless = { shape = "static" }', True),
        (SOFTMAX.replace("AXIS", "2"), "Softmax", 'when = { shape = "dynamic" }', False),
        # attributes: from the end, defaults, dtypes, lists, and inputs in their place
        (SOFTMAX.replace("AXIS", "2"), "Softmax", "unless = { attribute = { axis = -1 } }", False),
        (SOFTMAX.replace("AXIS", "1"), "Softmax", "unless = { attribute = { axis = -1 } }", True),
        (SOFTMAX.replace(" <axis = AXIS>", ""), "Softmax", "unless = { attribute = { axis = -1 } }", False),
        (SOFTMAX.replace(" <axis = AXIS>", ""), "Softmax", "when = { attribute = { axis = { given = true } } }", False),
        (SOFTMAX.replace("AXIS", "2"), "Softmax", "when = { attribute = { axis = { given = true } } }", True),
        (CAST, "Cast", 'unless = { attribute = { to = ["float32", "int32"] } }', True),
        (CAST, "Cast", 'unless = { attribute = { to = "float64" } }', False),
        (CONV, "Conv", "when = { attribute = { dilations = { min = 2 } } }", True),
        (CONV, "Conv", "unless = { attribute = { dilations = 1 } }", True),
        (CONV, "Conv", "unless = { attribute = { kernel_shape = 3 } }", False),
        (CONV, "Conv", "unless = { attribute = { dilations = [[1, 1], [1, 2]] } }", False),
        (CONV, "Conv", "unless = { rank = [3, 4] }", False),
        (CONV, "Conv", "when = { attribute = { auto_pad = ['SAME_UPPER', 'SAME_LOWER'] } }", False),
        (CONV, "Conv", "when = { attribute = { strides = 2 } }", False),
        (TRANSPOSE, "Transpose", "unless = { attribute = { perm = [[0, 2, 1]] } }", False),
        (TRANSPOSE, "Transpose", "when = { attribute = { perm = [[1, 0, 2]] } }", False),
        (RESHAPE, "Reshape", "when = { attribute = { allowzero = 1 } }", True),
        (MEAN, "ReduceMean", "unless = { attribute = { axes = -1 } }", False),
        (MEAN, "ReduceMean", "when = { attribute = { axes = -1 } }", True),
        (MEAN, "ReduceMean", "when = { attribute = { keepdims = 0 } }", False),
        (UNSQUEEZE, "Unsqueeze", "unless = { attribute = { axes = -1 } }", False),
        # one input or output
        (RESHAPE, "Reshape", 'unless = { input = { shape = "constant" } }', False),
        (COMPUTED, "Reshape", 'unless = { input = { shape = "constant" } }', True),
        (COMPUTED, "Reshape", 'when = { input = { 1 = "computed" } }', True),
        (COMPUTED, "Reshape", 'when = { input = { 0 = { dtype = ["float16"] } } }', False),
        (NORM, "LayerNormalization", 'when = { input = { B = "absent" } }', True),
        (NORM, "LayerNormalization", 'when = { input = { B = "given" } }', False),
        (NORM, "LayerNormalization", 'when = { input = { Scale = { is = "given", rank = 1 } } }', True),
        (MATMUL, "MatMul", "when = { input = { 1 = { dims = { -1 = 5 } } } }", True),
        (MATMUL, "MatMul", "unless = { input = { 1 = { dims = { 0 = { multiple-of = 8 } } } } }", True),
        (MATMUL, "MatMul", "unless = { input = { 1 = { dims = { 0 = { multiple-of = 2 } } } } }", False),
        (MATMUL, "MatMul", "when = { input = { 0 = { dims = { 9 = 1 } } } }", False),
        (MATMUL, "MatMul", "when = { output = { 0 = { rank = { max = 4 } } } }", True),
        (MATMUL, "MatMul", "when = { input = { 0 = { open = 1 } } }", True),
        (MATMUL, "MatMul", "when = { input = { 0 = { open = { min = 2 } } } }", False),
        (CHAIN, "Neg", 'when = { input = { X = { by = ["Exp", "Relu"], stated = false } } }', True),
        (CHAIN, "Neg", "when = { output = { 0 = { stated = false } } }", False),
        (CHAIN, "Relu", 'when = { input = { X = { by = ["Neg", "Relu"] } } }', False),
        (ADD, "Add", "when = { input = { 1 = { value = { max = -1e4 } } } }", True),
        (ADD, "Add", "unless = { input = { 1 = { value = [0, -10000] } } }", False),
        (ADD, "Add", "unless = { input = { 1 = { value = 0 } } }", True),
        # how many, and which opset
        (CONCAT, "Concat", "when = { inputs = { min = 3 } }", True),
        (CONCAT, "Concat", "unless = { inputs = { max = 3 }, outputs = 1 }", False),
        (ADD, "Add", "when = { opset = { max = 20 } }", True),
        (ADD, "Add", "when = { opset = { min = 21 } }", False),
        # all that is said must hold
        (CAST, "Cast", 'when = { dtype = ["float64"], opset = { min = 21 } }', False),
        (CAST, "Cast", 'when = { dtype = ["float64"] }\nunless = { opset = { min = 20 } }', False),
        # what is not known decides nothing
        (MATMUL, "MatMul", "when = { input = { 0 = { dims = { 0 = { min = 2 } } } } }", False),
        (MATMUL, "MatMul", "unless = { input = { 0 = { dims = { 0 = { min = 2 } } } } }", False),
        (MEANS, "ReduceMean", "when = { attribute = { axes = 1 } }", False),
        (MEANS, "ReduceMean", "unless = { attribute = { axes = 1 } }", False),
        (COMPUTED, "Reshape", "unless = { input = { shape = { value = 1 } } }", False),
    ],
)
def test_a_condition(graph, operator, condition, refused):
    assert gaps(graph, operator, condition) == refused


def test_an_attribute_that_became_an_input_is_the_same(tmp_path):
    old = "(float[2,4] x) => (float[2,1] y) { y = ReduceMean <axes = [1]> (x) }"
    for graph, opset in ((old, 13), (MEAN, 18)):
        assert gaps(graph, "ReduceMean", "unless = { attribute = { axes = -1 } }", opset) == 0
        assert gaps(graph, "ReduceMean", "when = { attribute = { axes = -1 } }", opset) == 1
        assert gaps(graph, "ReduceMean", "when = { attribute = { axes = { given = true } } }", opset) == 1


def test_what_follows_from_shapes_is_known():
    graph = "(float[2,3] x) => (float[6] y) { s = Size(x) t = Unsqueeze(s, a) y = Reshape(x, t) }".replace(
        "(float[6] y)", "(float[6] y) <int64[1] a = {0}>"
    )
    assert gaps(graph, "Reshape", "when = { input = { shape = { value = 6 } } }") == 1
    assert gaps(graph, "Reshape", 'when = { input = { shape = "computed" } }') == 1
    assert gaps(graph, "Reshape", 'when = { input = { shape = "unknown" } }') == 0
    assert gaps(COMPUTED, "Reshape", 'when = { input = { shape = "unknown" } }') == 1


def test_a_constant_node_is_a_constant():
    graph = "(float[2,3] x) => (float[6] y) { s = Constant <value = int64[1] {6}> () y = Reshape(x, s) }"
    assert gaps(graph, "Reshape", 'unless = { input = { shape = "constant" } }') == 0
    assert gaps(graph, "Reshape", "when = { input = { shape = { value = 6 } } }") == 1
