"""Rules: what is replaced, what stays because somebody else reads it, and what `why` says."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from regraft.errors import PassError
from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.ir.verifier import check
from regraft.ir.weights import Derived
from regraft.pipelines.pass_base import Context, Pass
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import constant, number, op
from regraft.rewriting.why import why
from regraft.verification.contract import exact, reassociation


def model_of(body: str, opset: int = 20, initializers: str = ""):
    text = f"""<ir_version: 9, opset_import: ["" : {opset}]>
    g (float[2,4] x, float[2,4] y) => (float[2,4] out) {initializers} {{ {body} }}"""
    return from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text)))


def rewrite(model, *rules) -> Context:
    class Rewrite(RulePass):
        name = "rewrite"

        def rules(self):
            return rules

    context = Context("rewrite")
    Rewrite().run(model, context)
    check(model)
    return context


def run(model) -> np.ndarray:
    x = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
    session = onnxruntime.InferenceSession(to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["out"], {"x": x, "y": x[::-1].copy()})[0]


def ops(model) -> list[str]:
    return [node.op for node in model.graph.nodes]


swish = Rule(lambda x: x * op.Sigmoid(x), lambda x: op.Mul(x, op.HardSigmoid(x, alpha=0.2)), name="swish")


def test_a_match_is_replaced_and_recorded():
    model = model_of("s = Sigmoid(x) m = Mul(s, x) out = Add(m, y)")
    context = rewrite(model, swish)
    assert ops(model) == ["HardSigmoid", "Mul", "Add"]
    assert model.graph.nodes[0].attrs == {"alpha": 0.2}
    (change,) = context.changes
    assert change.rule == "swish"
    assert len(change.removed) == len(change.added) == 2
    assert model.graph.nodes[1].metadata["regraft.pass"] == "rewrite"


class Halve(RulePass):
    name = "halve"

    def rules(self):
        return [Rule(lambda x: op.Add(x, 0.1), lambda x: op.Neg(x), name="add")]


@pytest.mark.parametrize(
    ("held", "exactly", "nearly"), [(0.1, True, True), (0.1000001, False, True), (0.2, False, False)]
)
def test_an_exact_pass_takes_no_other_number(held, exactly, nearly):
    for contract, expected in ((exact, exactly), (reassociation, nearly)):
        Halve.contract = contract
        model = model_of("out = Add(x, c)", initializers=f"<float c = {{{held}}}>")
        Halve().run(model, Context("halve"))
        assert (ops(model) == ["Neg"]) == expected
        if expected != nearly:
            assert "exact" in why(model, Halve())[0].reason


@pytest.mark.parametrize("value", [2**53 + 1, -(2**63), 2**63 - 1])
def test_whole_numbers_keep_every_digit(value):
    """On their way from a graph through a rule, and back."""
    text = "g (int64[4] x) => (int64[4] out) <int64 c = {1}> { out = Add(x, c) }"
    model = from_proto(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {text}'))
    model.graph.nodes[0].inputs[1].values = np.array(value)
    rewrite(model, Rule(lambda x, n: op.Add(x, number(n)), lambda x, n: op.Max(op.Max(x, n), 2**53 + 3)))
    found = [node.inputs[1].values.item() for node in model.graph.nodes]
    assert found == [value, 2**53 + 3]


def test_an_output_of_the_graph_keeps_its_name_and_type():
    model = model_of("s = Sigmoid(x) out = Mul(s, x)")
    rewrite(model, swish)
    (output,) = model.graph.outputs
    assert (output.name, output.dtype, output.shape) == ("out", np.float32, [2, 4])
    assert output.inputs[0].op == "Mul"


def test_a_value_that_is_replaced_by_an_input_keeps_its_name():
    model = model_of("n = Neg(x) out = Neg(n)")
    before = run(model)
    rewrite(model, Rule(lambda x: op.Neg(op.Neg(x)), lambda x: x))
    assert ops(model) == ["Identity"]
    np.testing.assert_array_equal(run(model), before)


@pytest.mark.parametrize("shared", [False, True])
def test_a_value_inside_that_others_read_stays(shared):
    body = "s = Sigmoid(x) m = Mul(s, x) out = Add(m, s)"
    model = model_of(body)
    rewrite(model, Rule(swish.pattern, swish.replacement, shared=shared))
    assert ("HardSigmoid" in ops(model)) is shared
    assert "Sigmoid" in ops(model)


def test_what_a_match_only_sees_through_at_its_edge_may_be_read_elsewhere():
    model = model_of("i = Identity(x) s = Sigmoid(i) m = Mul(s, i) out = Add(m, i)")
    context = rewrite(model, swish)
    assert len(context.changes) == 1
    assert "Identity" in ops(model)


def test_a_value_inside_that_is_an_output_stays():
    text = """<ir_version: 9, opset_import: ["" : 20]>
    g (float[4] x) => (float[4] out, float[4] s) { s = Sigmoid(x) out = Mul(s, x) }"""
    model = from_proto(onnx.parser.parse_model(text))
    rewrite(model, swish)
    assert ops(model) == ["Sigmoid", "Mul"]


def test_a_condition_can_refuse_and_can_give_names():
    def where(x, out, opset):
        assert out.name == "out"
        return {"alpha": opset / 100} if x.name == "y" else "x is not y"

    rule = Rule(swish.pattern, lambda x, alpha: op.LeakyRelu(x, alpha=alpha), where)
    model = model_of("s = Sigmoid(x) out = Mul(s, x)")
    rewrite(model, rule)
    assert ops(model) == ["Sigmoid", "Mul"]
    model = model_of("s = Sigmoid(y) out = Mul(s, y)")
    rewrite(model, rule)
    assert model.graph.nodes[0].attrs == {"alpha": pytest.approx(0.2)}


def test_numbers_come_as_floats_and_go_as_constants_of_the_same_type():
    rule = Rule(lambda x, c: op.Exp(x) * number(c), lambda x, c: op.Exp(x) * (2 * c) + math.pi)
    model = model_of("e = Exp(x) out = Mul(e, c)", initializers="<float c = {3.0}>")
    rewrite(model, rule)
    x = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_allclose(run(model), np.exp(x) * 6 + np.float32(math.pi), rtol=1e-6)


def test_a_term_that_stands_twice_is_made_once():
    def replacement(x):
        tanh = op.Tanh(x)
        return tanh * tanh + tanh

    model = model_of("e = Exp(x) out = Neg(e)")
    rewrite(model, Rule(lambda x: -op.Exp(x), replacement))
    assert sorted(ops(model)) == ["Add", "Mul", "Tanh"]


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_an_attribute_is_written_as_the_opset_wants_it(opset):
    model = model_of("e = Exp(x) out = Neg(e)", opset)
    rewrite(model, Rule(lambda x: -op.Exp(x), lambda x: x - op.ReduceMean(x, axes=[-1], keepdims=1)))
    mean = next(node for node in model.graph.nodes if node.op == "ReduceMean")
    assert ("axes" in mean.attrs) is (opset < 18)
    assert len(mean.inputs) == (1 if opset < 18 else 2)
    assert run(model).shape == (2, 4)


def test_an_operator_of_a_later_opset_becomes_a_function():
    model = model_of("e = Exp(x) out = Neg(e)", 13)
    before = run(model_of("out = Mul(x, y)", 13))
    rewrite(model, Rule(lambda x: -op.Exp(x), lambda x: op.Gelu(x)))
    (node,) = model.graph.nodes
    assert (node.domain, node.op) == ("regraft", "Gelu")
    x = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
    erf = np.vectorize(math.erf)(x / math.sqrt(2))
    np.testing.assert_allclose(run(model), 0.5 * x * (1 + erf), atol=1e-6)
    assert before.shape == x.shape
    rewrite(model, Rule(lambda x: op.Gelu(x, approximate="none"), lambda x: op.Relu(x)))
    assert ops(model) == ["Relu"]


def test_an_operator_that_nothing_stands_for_is_refused_with_the_way_out():
    model = model_of("e = Exp(x) out = Neg(e)", 13)
    with pytest.raises(PassError, match=r"Swish.*opset 24.*convert-opset\{version=24\}"):
        rewrite(model, Rule(lambda x: -op.Exp(x), lambda x: op.Swish(x)))


def test_rules_reach_into_branches_and_use_outer_values():
    body = """
    t = Sigmoid(x)
    c = Constant<value = bool {1}>()
    out = If (c) <
      then_branch = a () => (float[2,4] r) { s = Sigmoid(x) r = Mul(s, x) },
      else_branch = b () => (float[2,4] q) { q = Mul(t, x) }
    >"""
    model = model_of(body)
    before = run(model)
    context = rewrite(model, Rule(swish.pattern, lambda x: op.Div(x, 1 + op.Exp(-x))))
    assert len(context.changes) == 1  # in the other branch the Sigmoid stands outside
    np.testing.assert_allclose(run(model), before, rtol=1e-6)


def test_rules_reach_into_functions():
    text = """<ir_version: 9, opset_import: ["" : 20, "acme" : 1]>
    g (float[2,4] x, float[2,4] y) => (float[2,4] out) { out = acme.swish(x) }
    <opset_import: ["" : 20], domain: "acme"> swish (v) => (w) { s = Sigmoid(v) w = Mul(v, s) }"""
    model = from_proto(onnx.parser.parse_model(text))
    before = run(model)
    rewrite(model, Rule(lambda x: x * op.Sigmoid(x), lambda x: op.Identity(op.Mul(x, op.Sigmoid(x)))))
    np.testing.assert_array_equal(run(model), before)
    assert [node.op for node in model.functions[0].nodes] == ["Sigmoid", "Mul", "Identity"]


def test_matches_do_not_overlap():
    model = model_of("a = Neg(x) b = Neg(a) c = Neg(b) out = Neg(c)")
    rewrite(model, Rule(lambda x: op.Neg(op.Neg(x)), lambda x: x))
    assert ops(model) == ["Identity"]


def test_why_lists_the_nearest_misses_first_with_node_and_reason():
    class Swish(RulePass):
        name = "swish"

        def rules(self):
            return (Rule(lambda x: 1.702 * x * op.Sigmoid(1.702 * x), lambda x: op.Identity(x), name="quick"),)

    body = "a = Mul(x, c) s = Sigmoid(a) n = Mul(y, s) out = Mul(n, d)"
    model = model_of(body, initializers="<float c={1.702}, float d={1.7}>")
    nodes = ops(model)
    (nearest, *_) = why(model, Swish())
    assert nearest.rule == "quick"
    assert nearest.matched <= nearest.total == 4
    assert "'x'" in nearest.reason or "1.7" in nearest.reason
    assert ops(model) == nodes


def test_why_tells_who_else_reads_a_value():
    class Swish(RulePass):
        name = "swish"

        def rules(self):
            return (swish,)

    model = model_of("s = Sigmoid(x) m = Mul(s, x) out = Add(m, s)")
    (nearest,) = [near for near in why(model, Swish()) if "read by" in near.reason]
    assert "Add" in nearest.reason


def test_why_is_silent_where_all_matches():
    class Swish(RulePass):
        name = "swish"

        def rules(self):
            return (swish,)

    assert why(model_of("s = Sigmoid(x) out = Mul(s, x)"), Swish()) == []


def test_why_of_a_pass_without_rules_is_what_it_says():
    class Plain(Pass):
        name = "plain"

        def run(self, model, context):
            if model.graph.nodes[0].op == "Div":
                raise PassError("no Div, please")
            if model.graph.nodes[0].op == "Add":
                context.note("an Add")

    assert [miss.reason for miss in why(model_of("out = Div(x, y)"), Plain())] == ["no Div, please"]
    assert [miss.reason for miss in why(model_of("out = Add(x, y)"), Plain())] == ["an Add"]
    assert why(model_of("out = Mul(x, y)"), Plain()) == []


def test_constants_stay_where_a_replacement_uses_them():
    rule = Rule(lambda x, w: op.Exp(x) * constant(w), lambda x, w: op.Exp(x) / w)
    model = model_of("e = Exp(x) out = Mul(e, w)", initializers="<float[4] w = {1.0, 2.0, 3.0, 4.0}>")
    rewrite(model, rule)
    assert any(t.name == "w" for node in model.graph.nodes for t in node.inputs)


def test_values_inside_a_replacement_have_the_dtypes_that_their_operators_give():
    model = model_of("out = Trilu(x)")
    rewrite(model, Rule(lambda x: op.Trilu(x), lambda x: op.Where(op.Less(op.Size(x), np.array(9)), x, 0.0)))
    assert [str(np.dtype(node.outputs[0].dtype)) for node in model.graph.nodes] == ["int64", "bool", "float32"]


def test_a_replacement_may_hold_a_weight_that_is_computed_while_saving():
    model = model_of("out = Neg(x)")
    value = Derived([np.float32([1, 2])], np.negative, (2,), np.float32)
    rewrite(model, Rule(lambda x: op.Neg(x), lambda x: x * value))
    (node,) = model.graph.nodes
    assert node.inputs[1].lazy is value


def test_a_pass_may_note_what_its_conditions_refuse():
    class Rewrite(RulePass):
        name, notes_refusals = "rewrite", True

        def rules(self):
            return (Rule(lambda x: op.Neg(x), lambda x: x * -1.0, lambda x: x.name != "x" and "no, thanks"),)

    model, context = model_of("out = Neg(x)"), Context("rewrite")
    Rewrite().run(model, context)
    assert [note.partition(": ")[2] for note in context.notes] == ["the rule's condition does not hold"]
    model, context = model_of("n = Exp(x) out = Neg(n)"), Context("rewrite")
    Rewrite().run(model, context)
    assert [note.partition(": ")[2] for note in context.notes] == ["no, thanks"]


def test_what_a_condition_needs_is_told_by_the_pass_and_by_why():
    class Rewrite(RulePass):
        name, notes_refusals = "rewrite", True

        def rules(self):
            return (Rule(lambda x: op.Neg(x), lambda x: x * -1.0, lambda x: run_before(INFER_SHAPES, "who knows")),)

    model, context = model_of("[n] out = Neg(x)"), Context("rewrite")
    Rewrite().run(model, context)
    assert context.refusals == [Refusal("who knows; run infer-shapes before", "n", ("infer-shapes",))]
    assert context.notes == ["kept n: who knows; run infer-shapes before"]
    (miss,) = why(model, Rewrite())
    assert (miss.reason, miss.needs) == ("who knows; run infer-shapes before", ("infer-shapes",))


def test_why_tells_what_a_pass_without_rules_needs():
    class Plain(Pass):
        name = "plain"

        def run(self, model, context):
            if model.graph.nodes[0].op == "Div":
                raise PassError(run_before(INFER_SHAPES, "no Div"))
            context.note("an Add")
            context.refuse(run_before(INFER_SHAPES, "who knows"), model.graph.nodes[0])

    (miss,) = why(model_of("out = Div(x, y)"), Plain())
    assert (miss.reason, miss.needs) == ("no Div; run infer-shapes before", ("infer-shapes",))
    misses = why(model_of("[a] out = Add(x, y)"), Plain())
    assert [miss.node for miss in misses] == ["plain", "a"]
    assert [(miss.reason, miss.needs) for miss in misses] == [
        ("an Add", ()),
        ("who knows; run infer-shapes before", ("infer-shapes",)),
    ]
