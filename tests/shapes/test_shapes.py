"""Shape inference: complete on what exporters write, true when the model runs, and clear about contradictions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import shape_inference

import regraft
from regraft import shapes
from regraft.errors import GraphError
from regraft.files.convert import clone, from_proto
from regraft.files.saving import to_proto
from regraft.ir.graph import Graph, Variable
from regraft.ir.model import Model
from regraft.shapes import dims
from regraft.verification.runtime import Session
from tests.shares import diagonal

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
EXPORTS = sorted(str(path.relative_to(ARTIFACTS)) for path in ARTIFACTS.rglob("*.onnx"))


def parse(text: str) -> Model:
    """A model in ONNX's textual form, IR version and opset given."""
    return from_proto(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20, "custom" : 1]>\n{text}'))


def outputs(model: Model) -> dict[str, list[Any] | None]:
    return {t.name: t.shape for t in model.graph.outputs}


def written_outputs(model: Model) -> dict[str, list[Any] | None]:
    return outputs(from_proto(to_proto(model)))


def inputs(session: Session, batch: int, length: int) -> dict[str, np.ndarray]:
    """Ones, in the shape that the named dimensions give."""
    return {
        port.name: np.ones(
            [d if isinstance(d, int) else length if i else batch for i, d in enumerate(port.shape)], port.dtype
        )
        for port in session.inputs
    }


@pytest.mark.parametrize("name", diagonal(3, EXPORTS))
def test_every_shape_is_known_and_is_what_the_model_makes(name: str) -> None:
    model = regraft.load(ARTIFACTS / name)
    made = [t for node in model.graph.nodes for t in node.outputs if t.name]
    for tensor in made:
        if tensor not in set(model.graph.outputs):
            tensor.dtype = tensor.shape = None
    shapes.infer(model)
    assert all(t.dtype is not None and t.shape is not None and None not in t.shape for t in made)

    facts = shapes.analyse(model)
    probe = clone(model)
    ends = {t.name for t in probe.graph.outputs}
    probe.graph.outputs += [t for node in probe.graph.nodes for t in node.outputs if t.name and t.name not in ends]
    session = Session(probe)
    for batch, length in ((1, 7), (3, 32)):
        feeds = inputs(session, batch, length)
        sizes = {
            str(d): n
            for t in model.graph.inputs
            for d, n in zip(t.shape, feeds[t.name].shape, strict=True)
            if isinstance(d, str)
        }
        for tensor, value in zip(session.outputs, session.run(feeds).values(), strict=True):
            fact = facts[next(t for t in made if t.name == tensor.name)]
            assert tuple(at(d, sizes) for d in fact.dims) == value.shape, tensor.name
            if fact.value is not None:
                known = [
                    (at(d, sizes), v) for d, v in zip(fact.value.flat, value.flat, strict=True) if dims.is_named(d)
                ]
                assert all(expected == got for expected, got in known), tensor.name


def at(dim: dims.Dim, sizes: dict[str, int]) -> int:
    return dim if isinstance(dim, int) else int(eval(str(dim), {"min": min, "max": max}, sizes))


CASES = {
    "concat adds": ("x = Concat<axis=1>(a, b)", ["n", "k + m", 4]),
    "flatten multiplies": ("x = Flatten<axis=2>(a)", ["m*n", 4]),
    "transpose": ("x = Transpose<perm=[2,0,1]>(a)", [4, "n", "m"]),
    "shape, by hand": (
        """s = Shape(a)
           zero = Constant<value_ints=[0]>()
           first = Gather<axis=0>(s, zero)
           rest = Constant<value_ints=[-1,2]>()
           target = Concat<axis=0>(first, rest)
           x = Reshape(a, target)""",
        ["n", "2*m", 2],
    ),
    "slice to a size": (
        """zero = Constant<value_ints=[0]>()
           one = Constant<value_ints=[1]>()
           end = Shape<start=1, end=2>(b)
           x = Slice(a, zero, end, one)""",
        ["n", "min(k, m)", 4],
    ),
    "slice from the second": (
        """one = Constant<value_ints=[1]>()
           end = Constant<value_ints=[9223372036854775807]>()
           x = Slice(a, one, end, one)""",
        ["n", "max(0, m - 1)", 4],
    ),
    "torch's expand": (
        """s = Shape(a)
           sizes = Shape(s)
           minus = Constant<value_int=-1>()
           ones = ConstantOfShape<value: tensor = int64[1] {1}>(sizes)
           is_open = Equal(s, minus)
           target = Where(is_open, ones, s)
           small = ReduceMax(a)
           x = Expand(small, target)""",
        ["n", "m", 4],
    ),
    "a count that depends on data": ("x = NonZero(a)", [3, None]),
    "custom operators are believed": ("y = custom.Op(a)\n x = Identity(y)", None),
}


@pytest.mark.parametrize("case", CASES)
def test_shapes_are_expressions_of_the_inputs(case: str) -> None:
    body, expected = CASES[case]
    kind = "int64" if "NonZero" in body else "float"
    model = parse(f"g (float[n,m,4] a, float[n,k,4] b) => ({kind}[] x) {{ {body} }}")
    shapes.infer(model)
    assert outputs(model) == {"x": expected}


def test_a_body_is_inferred_with_what_is_around_it() -> None:
    model = parse(
        """g (bool c, float[n,4] a) => (float[] x) {
             x = If (c) <
               then_branch = t () => (float[] p) { p = Relu(a) },
               else_branch = e () => (float[] q) { q = Identity(a) }
             >
           }"""
    )
    shapes.infer(model)
    assert outputs(model) == {"x": ["n", 4]}
    assert all(t.shape == ["n", 4] for g in model.graphs() for node in g.nodes for t in node.outputs)


@pytest.mark.parametrize(("step", "expected"), [("Relu(s)", ["n", 4]), ("Concat<axis=0>(s, a)", [None, 4])])
def test_a_loop_keeps_the_dimensions_that_every_iteration_keeps(step: str, expected: list[Any]) -> None:
    model = parse(
        f"""g (int64 count, bool go, float[n,4] a) => (float[] end, float[] all) {{
             end, all = Loop (count, go, a) <
               body = b (int64 i, bool c, float[] s) => (bool c2, float[] s2, float o) {{
                 c2 = Identity(c)
                 s2 = {step}
                 o = ReduceSum<keepdims=0>(a)
               }}
             >
           }}"""
    )
    shapes.infer(model)
    assert outputs(model) == {"end": expected, "all": [None]}


def test_functions_are_seen_through_with_their_attributes() -> None:
    model = from_proto(
        onnx.parser.parse_model(
            """<ir_version: 10, opset_import: ["" : 20, "local" : 1]>
               g (float[n,m] a) => (float[] x, float[] y) {
                 x = local.turn<axis=0>(a)
                 y = local.turn<axis=1>(a)
               }
               <domain: "local", opset_import: ["" : 20]>
               turn <axis> (p) => (q) { q = Concat<axis: int = @axis>(p, p) }"""
        )
    )
    shapes.infer(model)
    assert outputs(model) == {"x": ["2*n", "m"], "y": ["n", "2*m"]}


def test_a_wrong_declaration_inside_is_mended_and_told() -> None:
    model = parse("g (float[n,4] a) => (float[n,4] x) { y = Relu(a)\n x = Relu(y) }")
    inside = model.graph.nodes[0].outputs[0]
    inside.shape, inside.dtype = [9, 9, 9], np.dtype(np.int32)
    (line,) = shapes.infer(model)
    assert "'y' is declared int32[9, 9, 9]" in line
    assert (inside.shape, inside.dtype) == (["n", 4], np.float32)


@pytest.mark.parametrize(
    ("body", "declared", "words"),
    [
        ("x = Relu(a)", "int64[n,4]", ["'x' is declared", "int64", "float32"]),
        ("x = MatMul(a, a)", "float[n,4]", []),
        ("b = Constant<value_floats=[1.0, 2.0, 3.0]>()\n x = Add(a, b)", "float[n,4]", ["(Add)", "x"]),
    ],
)
def test_a_contradiction_is_one_clear_line(body: str, declared: str, words: list[str]) -> None:
    model = parse(f"g (float[n,4] a) => ({declared} x) {{ {body} }}")
    if "MatMul" in body:
        model.graph.inputs[0].shape = [5, 4]
        words = ["(MatMul)"]
    with pytest.raises(GraphError) as caught:
        shapes.infer(model)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("declared", ["float[n,5]", "float[n]", "float[3,n,4]", "float[]"])
def test_an_output_that_is_declared_otherwise_is_mended(declared: str) -> None:
    model = parse(f"g (float[n,4] a) => ({declared} x) {{ x = Relu(a) }}")
    lines = shapes.infer(model)
    assert len(lines) == (declared != "float[]")
    assert all("'x' is declared" in line and "['n', 4]; mended" in line for line in lines)
    assert written_outputs(model) == {"x": ["n", 4]}


def test_a_promise_of_the_output_is_written_where_nothing_is_known_and_not_believed() -> None:
    model = parse("g (float[n,4] a) => (int64[2,found] x) { x = NonZero(a) }")
    shapes.infer(model)
    assert outputs(model) == {"x": [2, None]}
    assert written_outputs(model) == written_outputs(clone(model)) == {"x": [2, "found"]}
    assert outputs(clone(model)) == {"x": [2, None]}


def test_nodes_of_plain_graphsurgeon_are_inferred() -> None:
    graph = Graph(inputs=[Variable("a", np.float32, ["n", 4])], opset=20)
    graph.outputs = graph.layer(op="Relu", inputs=graph.inputs, outputs=["x"])
    shapes.infer(Model(graph))
    assert graph.outputs[0].shape == ["n", 4]


def test_unknown_ranks_stay_unknown() -> None:
    model = parse("g (float[] a) => (float[] x) { x = Relu(a) }")
    shapes.infer(model)
    assert model.graph.outputs[0].shape is None
    assert model.graph.outputs[0].dtype == np.float32


def test_a_range_of_single_elements_is_taken_as_onnx_runtime_takes_it() -> None:
    model = parse(
        """g (int64[1] n) => (int64[] x) {
             start = Constant<value_ints=[0]>()
             step = Constant<value_ints=[1]>()
             x = Range(start, n, step)
           }"""
    )
    shapes.infer(model)
    assert outputs(model) == {"x": [None]}


def test_onnx_is_asked_once_for_nodes_that_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alike are those of the same attributes, types and constants; nothing else is taken for another."""
    model = parse("""
        g (float[N,4] x) => (float[4,N] a, float[4,N] b, float[N,4] c, float[2,M] d, float[K,2] e, int64[4,N] f)
        <int64[2] wide = {2, -1}, int64[2] tall = {-1, 2}> {
            a = Transpose <perm = [1, 0]> (x)
            b = Transpose <perm = [1, 0]> (x)
            c = Transpose <perm = [0, 1]> (x)
            d = Reshape (x, wide)
            e = Reshape (x, tall)
            f = Cast <to = 7> (a)
            g = Cast <to = 6> (a)
        }
    """)
    asked: list[str] = []
    ask = shape_inference.infer_node_outputs

    def counted(rule: onnx.defs.OpSchema, *args: Any, **options: Any) -> Any:
        asked.append(rule.name)
        return ask(rule, *args, **options)

    monkeypatch.setattr(shape_inference, "infer_node_outputs", counted)
    facts = shapes.analyse(model)
    assert Counter(asked) == {"Transpose": 2, "Reshape": 2, "Cast": 2}
    known = {t.name: (facts[t].code, str(list(facts[t].dims or ()))) for n in model.graph.nodes for t in n.outputs}
    assert known["a"] == known["b"] == (1, "[4, N]")
    assert known["c"] == (1, "[N, 4]")
    assert (known["d"], known["e"]) == ((1, "[2, 2*N]"), (1, "[2*N, 2]"))
    assert (known["f"], known["g"]) == ((7, "[4, N]"), (6, "[4, N]"))


FAR = (10**9, 2**31 - 2, 2**31 - 1, 2**62, 2**63 - 1)


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize(
    ("start", "end", "step", "expected"),
    [
        ("0", "F", 1, "n"),
        ("2", "F", 1, "max(0, n - 2)"),
        ("-F", "F", 1, "n"),
        ("-F", "3", 1, "min(3, n)"),
        ("-1", "-F", -1, "n"),
        ("F", "-F", -1, "n"),
        ("F", "F", 1, 0),
        ("-2", "-F", -1, None),
        ("0", "F", 2, None),
    ],
)
def test_a_slice_past_any_size_goes_to_the_end(far: int, start: str, end: str, step: int, expected: Any) -> None:
    start, end = start.replace("F", str(far)), end.replace("F", str(far))
    constants = f"int64[1] s = {{{start}}}, int64[1] e = {{{end}}}, int64[1] axis = {{1}}, int64[1] step = {{{step}}}"
    model = parse(f"g (float[b,n,2] a) => (float[] x) <{constants}> {{ x = Slice(a, s, e, axis, step) }}")
    shapes.infer(model)
    assert outputs(model) == {"x": ["b", expected, 2]}


@pytest.mark.parametrize("far", FAR)
def test_a_slice_of_all_goes(far: int) -> None:
    constants = f"int64[1] s = {{0}}, int64[1] e = {{{far}}}, int64[1] axis = {{1}}"
    model = parse(f"g (float[b,n,2] a) => (float[] x) <{constants}> {{ c = Slice(a, s, e, axis) x = Relu(c) }}")
    regraft.run(model, "eliminate-identity", verify="each")
    assert [node.op for node in model.graph.nodes] == ["Relu"]


def test_a_number_without_axes_becomes_a_truth() -> None:
    """Comparing arrays without axes, numpy gives no array."""
    model = parse(
        """g (float[n, 4] x) => (bool y, bool z) <int64 one = {1}, int64 none = {0}> {
        s = Shape(x) width = Gather(s, one) y = Cast<to=9>(width) z = Cast<to=9>(none) }"""
    )
    facts = shapes.analyse(model)
    assert [facts[tensor].value.tolist() for tensor in model.graph.outputs] == [True, False]


@pytest.mark.parametrize("opset", [6, 9, 16])
def test_slopes_along_the_channels_are_no_operand_that_broadcasts(opset):
    slopes = "float[5] s" if opset == 6 else "float[5, 1] s"
    header = f'<ir_version: 8, opset_import: ["": {opset}]>'
    text = f"{header} g (float[2, 5, 3] x, {slopes}) => (float[2, 5, 3] y) {{ y = PRelu(x, s) }}"
    model = from_proto(onnx.parser.parse_model(text))
    shapes.infer(model)
    assert model.graph.outputs[0].shape == [2, 5, 3]
