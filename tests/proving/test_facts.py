"""The facts of a rule hold of each match that its condition lets through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.ir.editor import Editor
from regraft.ir.model import Model
from regraft.passes.lower_reduce_mean import LowerReduceMean
from regraft.passes.lower_softmax import LowerSoftmax
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.registry import passes
from regraft.rewriting.facts import Axes, Operand
from regraft.rewriting.rule import Match, Rule, candidates, first_match, index_of
from regraft.rewriting.rule_pass import RulePass
from regraft.shapes import declare_types
from regraft.testing import parse
from regraft.verification.verify import snapshot
from tests.proving.facts import holds

Graphs = Iterator[tuple[str, Model]]
COUNT = 48


def shape_of(random: np.random.Generator, low: int = 0, high: int = 4) -> list[int]:
    return [int(size) for size in random.integers(1, 4, int(random.integers(low, high + 1)))]


def text(shape: list[Any]) -> str:
    return f"[{', '.join(map(str, shape))}]" if shape else ""


def filled(name: str, shape: list[int], values: Any, dtype: str = "float") -> str:
    flat = ", ".join(str(value) for value in np.ravel(values))
    return f"{dtype}{text(shape)} {name} = {{{flat}}}"


def model(inputs: str, output: str, body: str, constants: str = "", opset: int = 18) -> Model:
    head = f"<{constants}>" if constants else ""
    return parse(f"g ({inputs}) => ({output}) {head} {{ {body} }}", opset)


def divisions(random: np.random.Generator) -> Graphs:
    shape, other = shape_of(random), shape_of(random, 0, 2)
    values = random.choice([0.5, 3.0, -4.0, 7.0], int(np.prod(other)))
    constants = filled("c", other, values)
    yield "lower-div", model(f"float{text(shape)} x", "float y", "y = Div(x, c)", constants)


def softmaxes(random: np.random.Generator) -> Graphs:
    shape = shape_of(random, 1)
    axis, name = int(random.integers(-len(shape), len(shape))), random.choice(["Softmax", "LogSoftmax"])
    body = f"y = {name} <axis = {axis}> (x)"
    yield "lower-softmax", model(f"float{text(shape)} x", "float y", body, opset=int(random.choice([11, 13, 20])))


def powers(random: np.random.Generator) -> Graphs:
    dtype = str(random.choice(["float", "int32"]))
    e = float(random.choice([0.5, -0.5, 1.0, 2.0, 2.5, 3.0, -3.0, 8.0, 9.0, 0.3]))
    rank, constants = shape_of(random), filled("e", [1] * int(random.integers(0, 2)), [e])
    body = "y = Pow(x, e)"
    yield "lower-pow", model(f"{dtype}{text(rank)} x", f"{dtype} y", body, constants)


def means(random: np.random.Generator) -> Graphs:
    shape, dtype = shape_of(random, 1), random.choice(["float", "float16"])
    axes = sorted(int(a) for a in random.choice(len(shape), int(random.integers(1, len(shape) + 1)), replace=False))
    axes = [axis - len(shape) if random.random() < 0.5 else axis for axis in axes]
    said = f"axes = {axes}, " if random.random() < 0.5 else ""
    opset = 13 if said or random.random() < 0.5 else 18
    said += "noop_with_empty_axes = 0, " if opset == 18 else ""
    body = f"y = ReduceMean <{said}keepdims = {int(random.integers(0, 2))}> (x)"
    found = model(f"{dtype}{text(shape)} x", f"{dtype} y", body, opset=opset)
    order = random.choice(["auto", "sum-first", "scale-first"])
    yield f"lower-reduce-mean{{order={order}}}", found
    yield "lower-reduce-mean{form=matmul}", found


def norms(random: np.random.Generator) -> Graphs:
    shape, dtype = shape_of(random, 1), random.choice(["float", "float16", "bfloat16"])
    axis = int(random.integers(-len(shape), len(shape)))
    part = text(shape[axis:])
    bias = ", b" if random.random() < 0.6 else ""
    body = f"y = LayerNormalization <axis = {axis}, epsilon = 0.1> (x, s{bias})"
    inputs = f"{dtype}{text(shape)} x, {dtype}{part} s, {dtype}{part} b"
    yield (
        f"lower-layer-norm{{form={random.choice(['pow', 'mul', 'rsqrt', 'fold'])}}}",
        model(inputs, f"{dtype} y", body),
    )


def written_norms(random: np.random.Generator) -> Graphs:
    shape = shape_of(random, 1)
    first = int(random.integers(0, len(shape)))
    axes = [place - len(shape) if random.random() < 0.5 else place for place in range(first, len(shape))]
    axes = axes if random.random() < 0.8 else axes[:1]
    part = shape[first:]
    wide = part if random.random() < 0.6 else [1] * int(random.integers(0, len(part) + 1))
    constants = [
        filled("two", [], [2.0]),
        filled("eps", [], [0.1]),
        filled("s", wide, random.integers(1, 5, int(np.prod(wide)))),
        filled("b", part, random.integers(1, 5, int(np.prod(part)))),
    ]
    mean = f"ReduceMean <axes = {axes}, keepdims = 1>"
    steps = [f"m = {mean}(x)", "d = Sub(x, m)", "q = Pow(d, two)", f"v = {mean}(q)", "e = Add(v, eps)", "r = Sqrt(e)"]
    ends = [["y = Div(d, r)"], ["n = Div(d, r)", "y = Mul(n, s)"], ["n = Div(d, r)", "y = Add(n, b)"]]
    ends += [["n = Div(d, r)", "p = Mul(n, s)", "y = Add(p, b)"]]
    body = " ".join([*steps, *ends[int(random.integers(4))]])
    opset = int(random.choice([13, 17]))
    yield "fuse-layer-norm", model(f"float{text(shape)} x", "float y", body, ", ".join(constants), opset)


def functions(random: np.random.Generator) -> Graphs:
    found = next(written_norms(random))[1]
    yield "fuse-layer-norm", called(found, "fuse-layer-norm")
    form = str(random.choice(["none", "tanh"]))
    gelu = model("float[2, 3] x", "float[2, 3] y", f'y = Gelu <approximate = "{form}"> (x)', opset=20)
    regraft.run(gelu, f"lower-gelu{{form={'tanh' if form == 'tanh' else 'erf'}}},convert-opset{{version=13}}")
    yield "fuse-gelu", called(gelu, "fuse-gelu")


def called(found: Model, name: str) -> Model:
    """A model of opset 20 with calls of functions, as a run at opset 13 left them."""
    regraft.run(found, f"{name},convert-opset{{version=20}}")
    return found


def triangles(random: np.random.Generator) -> Graphs:
    dtype, kind = random.choice(["float", "int64", "bool", "float16"]), random.choice(["where", "mul"])
    sizes = [["r", "c"], [2, "c"], ["r", 3], [2, 3], [3, 1]][int(random.integers(5))]
    shape = [*[int(s) for s in random.integers(1, 4, int(random.integers(0, 3)))], *sizes]
    upper, k = int(random.integers(0, 2)), int(random.choice([-2, 0, 3]))
    body, inputs, constants = f"y = Trilu <upper = {upper}> (x)", f"{dtype}{text(shape)} x", ""
    if random.random() < 0.6:
        body, given = f"y = Trilu <upper = {upper}> (x, k)", random.random() < 0.5
        inputs, constants = (f"{inputs}, int64 k", "") if given else (inputs, filled("k", [], [k], "int64"))
    yield f"lower-trilu{{form={kind}}}", model(inputs, f"{dtype} y", body, constants)


def choices(random: np.random.Generator) -> Graphs:
    dtype = str(random.choice(["float", "int32", "bool", "float16", "uint8"]))
    shape = shape_of(random)
    other = shape[-1:] if random.random() < 0.5 else []
    zero = filled("zero", [1] * int(random.integers(0, 2)), [0], dtype)
    body = str(random.choice(["y = Where(c, a, b)", "y = Where(c, a, zero)", "y = Where(c, zero, a)"]))
    inputs = f"bool{text(shape)} c, {dtype}{text(shape)} a, {dtype}{text(other)} b"
    found = model(inputs, f"{dtype} y", body, zero, 16)
    yield f"lower-where{{infinite={random.choice(['keep', 'finite'])}}}", found
    yield "simplify-mask", model(inputs, f"{dtype} y", "n = Not(c) y = Where(n, a, b)", opset=16)


def masks(random: np.random.Generator) -> Graphs:
    dtype = str(random.choice(["float", "int32", "bool", "float16", "int64"]))
    code = {"float": 1, "int32": 6, "bool": 9, "float16": 10, "int64": 7}[dtype]
    shape = text(shape_of(random))
    constants = f"{filled('one', [], [1], dtype)}, {filled('zero', [], [0], dtype)}"
    a, b = random.permutation(["one", "zero"])
    yield "simplify-mask", model(f"bool{shape} c", f"{dtype}{shape} y", f"y = Where(c, {a}, {b})", constants)
    if dtype != "bool":
        body = f"k = Cast <to = {code}> (c) n = Sub(one, k) y = Sub(one, n)"
        yield "simplify-mask", model(f"bool{shape} c", f"{dtype}{shape} y", body, constants)
        yield (
            "simplify-mask",
            model(f"{dtype}{shape} m", f"{dtype}{shape} y", "n = Sub(one, m) y = Sub(one, n)", constants),
        )
        body = f"k = Cast <to = {code}> (c) n = Sub(one, k) y = Cast <to = 9> (n)"
        yield "simplify-mask", model(f"bool{shape} c", f"bool{shape} y", body, constants)


def guards(random: np.random.Generator) -> Graphs:
    body = "s = MatMul(q, k) p = Softmax <axis = -1> (s) n = IsNaN(p) y = Where(n, zero, p)"
    yield "simplify-mask", model("float[2, 3] q, float[3, 4] k", "float[2, 4] y", body, filled("zero", [], [0]))


def errors(random: np.random.Generator) -> Graphs:
    dtype = str(random.choice(["float", "float16", "double"]))
    for form in ("tanh", "rational"):
        yield f"lower-erf{{form={form}}}", model(f"{dtype}[2] x", f"{dtype}[2] y", "y = Erf(x)")


MAKERS = [
    divisions,
    softmaxes,
    powers,
    means,
    norms,
    written_norms,
    functions,
    triangles,
    choices,
    masks,
    guards,
    errors,
]


def matches(one: RulePass, found: Model) -> Iterator[tuple[Rule, Match]]:
    """What the rules of a pass match in the main graph of a model."""
    declare_types(found)
    one.prepare(found)
    edit, index = Editor(found), index_of(found.graph.nodes)
    for rule in one.rules():
        for root in candidates(rule, index, index.keys()):
            match = first_match(rule, root, found.graph, one.matcher(found.graph, None), edit)
            if match is not None:
                yield rule, match


def samples(makers: list[Callable[[np.random.Generator], Graphs]] = MAKERS) -> Iterator[tuple[str, Rule, Match]]:
    for number, maker in enumerate(makers):
        for seed in range(COUNT):
            for name, found in maker(np.random.default_rng([number, seed])):
                (one,) = Pipeline.parse(name).passes
                assert isinstance(one, RulePass)
                for rule, match in matches(one, found):
                    yield one.name, rule, match


@pytest.fixture(scope="module")
def seen() -> list[tuple[str, Rule, Match]]:
    return list(samples())


def test_the_facts_hold_of_each_match(seen: list[tuple[str, Rule, Match]]) -> None:
    for name, rule, match in seen:
        shown = {key: getattr(value, "shape", value) for key, value in match.values.items()}
        assert any(holds(case, match.values) for case in rule.facts), (name, rule.name, shown)


def test_each_rule_with_facts_is_among_them(seen: list[tuple[str, Rule, Match]]) -> None:
    matched = Counter((name, rule.name) for name, rule, _ in seen)
    for name in passes.names():
        known = passes.load(name)
        if issubclass(known, RulePass):
            stated = [rule for rule in known().rules() if any(rule.facts)]
            assert all(matched[name, rule.name] >= 3 for rule in stated), (name, matched)


def test_every_case_but_few_is_among_them(seen: list[tuple[str, Rule, Match]]) -> None:
    """What is stated and never met is stated for nothing, or not sampled."""
    softmax = [match for name, rule, match in seen if name == "lower-softmax"]
    assert all(any(holds(case, match.values) for match in softmax) for case in LowerSoftmax().rules()[0].facts)
    means = [match for name, rule, match in seen if name == "lower-reduce-mean" and rule.name == "sum"]
    assert all(any(holds(case, match.values) for match in means) for case in LowerReduceMean().rules()[0].facts)


def test_what_is_never_nan_is_none() -> None:
    found = next(guards(np.random.default_rng(0)))[1]
    (rule, match), *_ = matches(Pipeline.parse("simplify-mask").passes[0], found)  # type: ignore[arg-type]
    assert rule.facts[0]["p"].never_nan
    assert match.values["p"].inputs[0].op == "Softmax"
    for seed in range(5):
        random = np.random.default_rng(seed)
        given = {"q": random.normal(size=(2, 3)) * 1e3, "k": random.normal(size=(3, 4)) * 1e3}
        assert np.isfinite(snapshot(found, {n: v.astype(np.float32) for n, v in given.items()})["y"]).all()


WRONG_FACTS: dict[str, dict[str, Any]] = {
    "the axes": {"x": Operand("a B C"), "axis": Axes("a"), "axes": Axes("a")},
    "the kind": {"x": Operand("B a C", "integer"), "axis": Axes("a"), "axes": Axes("a")},
    "the attribute": {"x": Operand("B a C"), "axis": Axes("a"), "axes": None},
    "the rank": {"x": Operand("a"), "axis": Axes("a"), "axes": Axes("a")},
}


@pytest.mark.parametrize("what", WRONG_FACTS)
def test_wrong_facts_are_found(what: str) -> None:
    found = [(replace(rule, facts=(WRONG_FACTS[what],)), match) for _, rule, match in samples([softmaxes])]
    assert not all(holds(rule.facts[0], match.values) for rule, match in found)
