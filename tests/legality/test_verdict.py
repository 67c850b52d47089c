"""What a profile says of a model."""

from __future__ import annotations

import pytest

import regraft
from regraft.ir.graph import Node
from regraft.legality.share import share
from regraft.legality.verdict import Violation, check, judge
from tests.growth import calls
from tests.legality.small import model, profile

STATIC = "(float[2,3] x) => (float[2,3] y) { y = Relu(x) }"
OPEN = "(float[N,3] x, int64[1] s) => (float[N,3] y, float[A,B] z) { y = Relu(x) z = Reshape(x, s) }"
DOUBLE = "(float[2] x) => (float[2] y) { d = Cast <to = 11> (x) e = Neg(d) y = Cast <to = 1> (e) }"
DEEP = "(float[2,3] x, int64[3] s) => (float[A,B,C] y) { y = Reshape(x, s) }"
IF = """(bool c, float[2] x) => (float[2] y) {
    y = If (c) <
        then_branch = one () => (float[2] a) { a = Erf(x) },
        else_branch = two () => (float[2] b) { b = Neg(x) }
    >
}"""
CALL = "(float[2] x) => (float[2] y) { z = own.twice(x) y = own.twice(z) }"
TWICE = '<domain: "own", opset_import: ["" : 20]> twice (a) => (b) { e = Erf(a) b = Add(e, e) }'
OWN = ', "own" : 1'


def reasons(graph: str, limit: str, opset: int = 20, **more: str) -> list[str]:
    return [one.reason for one in check(model(graph, opset, **more), profile(f"[limits]\n{limit}"))]


@pytest.mark.parametrize(
    ("graph", "limit", "reason"),
    [
        (OPEN, 'shapes = { must = "static", reason = "E1" }', "shapes are not static: E1"),
        (STATIC, 'shapes = { must = "static", reason = "E1" }', None),
        (STATIC, 'shapes = { must = "dynamic", reason = "E2" }', "every shape is static: E2"),
        (OPEN, 'shapes = { must = "dynamic", reason = "E2" }', None),
        (STATIC, 'opset = { max = 17, reason = "E3" }', "opset 20, not at most 17: E3"),
        (STATIC, 'opset = { min = 9, max = 17, reason = "E3" }', "opset 20, not 9 to 17: E3"),
        (STATIC, 'opset = { min = 20, reason = "E3" }', None),
        (STATIC, 'ir-version = { max = 8, reason = "E4" }', "IR version 9, not at most 8: E4"),
        (STATIC, 'ir-version = { max = 9, reason = "E4" }', None),
        (DOUBLE, 'dtypes = { any-of = ["float32"], reason = "E5" }', "values of float64: E5"),
        (DOUBLE, 'dtypes = { none-of = ["float64", "int8"], reason = "E5" }', "values of float64: E5"),
        (DEEP, 'dtypes = { any-of = ["float32"], reason = "E5" }', None),
        (DEEP, 'dtypes = { none-of = ["int64"], reason = "E5" }', None),
        (DEEP, 'rank = { max = 2, reason = "E6" }', "values of rank 3, not at most 2: E6"),
        (STATIC, 'rank = { max = 2, reason = "E6" }', None),
        (OPEN, 'inputs = { dtypes = ["float32"], reason = "E7" }', "inputs of other dtypes than float32: E7"),
        (OPEN, 'inputs = { dtypes = ["float32", "int64"], reason = "E7" }', None),
        (OPEN, 'inputs = { rank = 2, reason = "E7" }', "inputs of a rank that is not 2: E7"),
        (OPEN, 'inputs = { names = ["x"], reason = "E7" }', "inputs other than x: E7"),
        (STATIC, 'inputs = { names = ["x", "mask"], reason = "E7" }', "no input mask: E7"),
        (OPEN, 'outputs = { count = 1, reason = "E8" }', "2 outputs, not 1: E8"),
        (STATIC, 'outputs = { count = 1, rank = { max = 3 }, reason = "E8" }', None),
        (IF, 'subgraphs = { must = "absent", reason = "E9" }', "control flow: E9"),
        (STATIC, 'subgraphs = { must = "absent", reason = "E9" }', None),
        (STATIC, 'functions = { must = "absent", reason = "E10" }', None),
        (STATIC, 'nodes-named = { must = "unique", reason = "E11" }', None),
        (DOUBLE, 'value-info = { must = "stated", reason = "E12" }', "values whose dtype or shape is not stated: E12"),
        (STATIC, 'value-info = { must = "stated", reason = "E12" }', None),
    ],
)
def test_a_limit(graph, limit, reason):
    assert reasons(graph, limit) == ([reason] if reason else [])


def test_a_limit_names_the_nodes_and_the_inputs():
    shapes = 'shapes = { must = "static", reason = "no", mend = ["set-shapes"] }'
    (found,) = check(model(OPEN), profile(f"[limits]\n{shapes}"))
    assert found.nodes == ("Relu0", "Reshape1")
    assert found.values == ("x float32[N, 3]",)
    assert found.mend == ("set-shapes",)
    assert found.source == "the test"


def test_names_that_two_nodes_have():
    twins = model(DOUBLE)
    for node in twins.graph.nodes:
        node.name = "same"
    (found,) = check(twins, profile('[limits]\nnodes-named = { must = "unique", reason = "E" }'))
    assert len(found.nodes) == 3


def test_a_limit_said_twice_breaks_twice():
    limit = 'opset = [{ max = 19, reason = "a" }, { max = 21, reason = "b" }, { min = 21, reason = "c" }]'
    assert [reason.rpartition(" ")[2] for reason in reasons(STATIC, limit)] == ["a", "c"]


def test_an_operator_that_is_not_listed():
    listed = profile('[listed]\nnames = ["Cast"]\nsource = "a list"\nmend = { Neg = ["lower-gemm"] }', "listed")
    (found,) = check(model(DOUBLE), listed)
    assert (found.operator, found.nodes, found.source, found.mend) == ("Neg", ("Neg1",), "a list", ("lower-gemm",))
    assert str(found) == "Neg: not in the list of operators: Neg1"


def test_a_gap_speaks_in_place_of_the_list():
    text = '[listed]\nnames = ["Cast"]\n[[gap]]\noperator = "Neg"\nreason = "E100"\nwhen = { dtype = ["DTYPE"] }'
    for dtype, reason in (("float64", "E100"), ("int8", "not in the list of operators")):
        (found,) = check(model(DOUBLE), profile(text.replace("DTYPE", dtype), "listed"))
        assert found.reason == reason


def test_nodes_are_grouped_by_operator_and_reason():
    text = '[[gap]]\noperator = ["Cast", "Neg"]\nreason = "E"\n[[gap]]\noperator = "Cast"\nreason = "F"'
    found = check(model(DOUBLE), profile(text))
    assert [(one.operator, one.reason, len(one.nodes)) for one in found] == [
        ("Cast", "E", 2),
        ("Cast", "F", 2),
        ("Neg", "E", 1),
    ]


ERF = profile('[[gap]]\noperator = "Erf"\nreason = "E"')


def test_bodies_are_seen():
    (found,) = check(model(IF), ERF)
    assert found.operator == "Erf"
    assert share(judge(model(IF), ERF)).nodes == 3


def test_functions_are_seen_once():
    called = model(CALL, domains=OWN, functions=TWICE)
    (found,) = check(called, ERF)
    assert len(found.nodes) == 1
    assert check(called, profile('[listed]\nnames = ["Erf", "Add"]', "listed")) == []
    (found,) = check(called, profile('[limits]\nfunctions = { must = "absent", reason = "E" }'))
    assert len(found.nodes) == 2


def test_functions_that_nobody_calls_are_not_seen():
    assert check(model(STATIC, domains=OWN, functions=TWICE), ERF) == []


def test_a_function_that_stands_for_an_operator_is_the_operator(artifacts):
    fused = regraft.load(artifacts / "pytorch/transformers-4.25.1-bert-qa/model.onnx")
    regraft.run(fused, "fuse-gelu")
    assert check(fused, ERF) == []
    (function,) = check(fused, profile('[limits]\nfunctions = { must = "absent", reason = "E" }'))
    assert len(function.nodes) == 2
    (found,) = check(
        fused, profile('[[gap]]\noperator = "Gelu"\nunless = { attribute = { approximate = "tanh" } }\nreason = "E"')
    )
    assert len(found.nodes) == 2


@pytest.mark.parametrize(("line", "taken"), [("", False), ('domains = ["own"]', True)])
def test_operators_of_another_domain(line, taken):
    foreign = model("(float[2] x) => (float[2] y) { y = own.magic(x) }", domains=OWN)
    assert [one.operator for one in check(foreign, profile(line))] == ([] if taken else ["own::magic"])
    assert check(foreign, profile('[listed]\nnames = ["own::magic"]', "listed")) == []


def test_only_the_device_is_checked(artifacts):
    split = regraft.load(artifacts / "pytorch/bert-cls-sdpa-dynamo.onnx")
    gather = profile('[[gap]]\noperator = "Gather"\nreason = "E"\nwhen = { input = { 0 = { rank = 2 } } }')
    assert check(split, gather)
    regraft.run(split, "infer-shapes,fold-constants,expose-position-ids,externalize-embeddings")
    assert check(split, gather) == []
    assert share(judge(split, gather)).on_host > 0
    assert share(judge(split, gather)).of_all < 1


def test_a_violation_in_one_line():
    assert str(Violation("no opset 30")) == "no opset 30"
    assert str(Violation("E", ("a", "b", "c"), "Erf")) == "Erf: E: a and 2 more"


def test_shares():
    gemm = (
        "(float[4,8] x, float[8,2] a, float[8,6] b) => (float[4,2] y, float[4,6] z) { y = MatMul(x, a) z = Gemm(x, b) }"
    )
    part = share(judge(model(gemm), profile('[[gap]]\noperator = "Gemm"\nreason = "E"')))
    assert (part.nodes, part.taken, part.of_nodes) == (2, 1, 0.5)
    assert (part.macs, part.macs_taken, part.of_macs) == (4 * 8 * 8, 4 * 8 * 2, 0.25)


def test_a_share_of_macs_that_nobody_knows():
    part = share(judge(model("(float[N,8] x, float[8,2] a) => (float[N,2] y) { y = MatMul(x, a) }"), profile("")))
    assert (part.of_nodes, part.of_macs, part.macs_unknown) == (1.0, None, 1)


def test_what_is_not_known_is_said():
    computed = model("(float[2,4] x, int64[1] a) => (float[N,M] y) { y = ReduceMean(x, a) }")
    axes = profile('[[gap]]\noperator = "ReduceMean"\nunless = { attribute = { axes = -1 } }\nreason = "E"')
    part = share(judge(computed, axes))
    assert (part.taken, part.undecided) == (1, 1)


def test_a_share_of_nothing():
    empty = model("(float[2] x) => (float[2] y) { y = Identity(x) }")
    empty.graph.nodes.clear()
    assert share(judge(empty, profile(""))).of_nodes == 1.0


def test_work_grows_with_the_nodes():
    wanted = profile(
        '[limits]\nshapes = { must = "static", reason = "E" }\nnodes-named = { must = "unique", reason = "E" }\n'
        '[[gap]]\noperator = "Add"\nwhen = { dtype = ["float16"], rank = { min = 9 } }\nreason = "E"'
    )

    def work(length: int) -> int:
        chain = "".join(f" v{i + 1} = Add(v{i}, v{i})" for i in range(length))
        built = model(f"(float[2] v0) => (float[2] v{length}) {{{chain} }}")
        assert judge(built, wanted).violations == []
        return calls(lambda: judge(built, wanted))

    work(100)
    assert work(2000) < 4.5 * work(500)


def test_attributes_of_a_function_decide_nothing():
    softmax = '<domain: "own", opset_import: ["" : 20]> soft <axis> (a) => (b) { b = Softmax <axis: int = @axis> (a) }'
    called = model("(float[2,3] x) => (float[2,3] y) { y = own.soft <axis = 0> (x) }", domains=OWN, functions=softmax)
    assert isinstance(called.functions[0].nodes[0].attrs["axis"], Node.AttributeRef)
    assert (
        check(called, profile('[[gap]]\noperator = "Softmax"\nunless = { attribute = { axis = -1 } }\nreason = "E"'))
        == []
    )
