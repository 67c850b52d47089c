"""What a pass says that it removes and introduces, held against what it does to exported models and to motifs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import pytest

from regraft.errors import RegraftError
from regraft.files.convert import clone
from regraft.ir import schema
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.pipelines.manager import run
from regraft.pipelines.pass_base import EVERY, Context, Pass, label
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.registry import passes
from regraft.rewriting.rule_pass import rewritable_graphs
from tests.matrix.artifacts import ARTIFACTS

NEEDS = {
    "convert-opset": "convert-opset{version=17}",
    "select-outputs": "select-outputs{outputs=last_hidden_state}",
    "set-shapes": "set-shapes{batch=2}",
}
"""Passes whose options must be given; models that these do not fit are left out."""

VARIANTS = (
    "convert-fp16{io=fp16}",
    "externalize-embeddings{layer-norm=true}",
    "lower-attention{scale=query}",
    "lower-erf{form=tanh}",
    "lower-expand{form=tile}",
    "lower-gelu{form=sigmoid}",
    "lower-gelu{form=tanh}",
    "lower-layer-norm{form=fold}",
    "lower-layer-norm{form=mul}",
    "lower-layer-norm{form=rsqrt}",
    "lower-logic{to=arithmetic}",
    "lower-range{max-length=64}",
    "lower-reduce-mean{form=matmul}",
    "lower-trilu{form=mul}",
    "lower-where{infinite=finite}",
    "narrow-integers{inputs=true,assume=all}",
    "simplify-mask{assume-no-empty-rows=true}",
)
TEXTS = [NEEDS.get(name, name) for name in passes.names()] + list(VARIANTS)
PREPARED = ("", "fold-constants,fuse-gelu,fuse-layer-norm,fuse-attention", "fold-constants,lower-gemm,convert-fp16")
LAWFUL = {"Constant", "Identity"}
"""What any pass may take out or put in: a Constant becomes an initializer; an Identity makes an output of an input."""

QUICK = (
    ("bert-cls-eager-ts-train", PREPARED[0]),
    ("einsum-decoder-dynamo", PREPARED[1]),
    ("gn0.8.3-classifier", PREPARED[0]),
    ("roberta-sdpa-ts", PREPARED[0]),
    ("roberta-sdpa-ts", PREPARED[1]),
    ("tiny_seq32_op18", PREPARED[2]),
    ("transformers-4.25.1-bert-qa", PREPARED[0]),
)
"""Exports that together have what passes declare; the slow test has all, prepared in each way."""
WIDER = {
    "convert-bf16",
    "convert-fp16",
    "eliminate-identity",
    "expose-position-ids",
    "externalize-embeddings",
    "externalize-mask",
    "fuse-attention",
    "narrow-integers",
}
"""Passes that declare more than these models have."""


MOTIFS = (
    "(int64[2,3] i) => (int64[2,3] y) <int64[2,2] t = {5,6,5,6}> { y = GatherElements <axis = 1> (t, i) }",
    "(bool[2,2] x) => (bool[2,1,2] y) <int64[2,1,2,2] i = {0,0,0,1,1,0,1,1}> { y = GatherND(x, i) }",
    "(bool[2,1,2] x) => (bool[2,2] y) <int64[2,2,3] i = {0,0,0,0,0,1,1,0,0,1,0,1}> { y = GatherND(x, i) }",
    "(bool[2,3] x) => (bool[3,2] y) <int64[3,2] i = {0,1,2,3,4,5}> { f = Flatten <axis = 2> (x)"
    " g = Gather(f, i) a = Constant <value = int64[1] {2}> () y = Squeeze(g, a) }",
    "(float[2,3] x) => (float[2,3] y) { y = LogSoftmax(x) }",
    "(bool[1] c, float[2] x) => (float[2] y) { y = If(c) <then_branch = t () => (float[2] a) { a = Abs(x) },"
    " else_branch = e () => (float[2] b) { b = Neg(x) }> }",
    '(float[2,3] x) => (float[3,3,2] y) { y = Einsum <equation = "ab,cd->bdc"> (x, x) }',
    '(float[2,3,4] x, float[4,5,6] w) => (float[2,3,5,6] y) { y = Einsum <equation = "bsd,dhe->bshe"> (x, w) }',
    '(float[2,1] x, float[3,4] w) => (float[2,4] y) { y = Einsum <equation = "ab,bc->ac"> (x, w) }',
    "(bool[1,3] x) => (bool[2,3] y) { to = Constant <value = int64[2] {2, 3}> () y = Expand(x, to) }",
    "(int64[3] i) => (float[3,2] y) <int64 d = {3}, float[2] v = {0, 1}, float[3,2] t = {1, 2, 3, 4, 5, 6}>"
    " { h = OneHot(i, d, v) y = MatMul(h, t) }",
    "(int64[3] i, int64 d, float[2] v) => (float[N,3] y) { y = OneHot <axis = 0> (i, d, v) }",
    "(int64[3] i) => (float[3,4] y) <int64 d = {4}, float[2] v = {0, 1}> { y = OneHot(i, d, v) }",
    "(int64[3] i) => (bool[3,4] y) <int64 d = {4}, bool[2] v = {1, 0}> { y = OneHot(i, d, v) }",
    "(float[3,2] x, float[3,4] w, float[2,4] c) => (float[2,4] y) { y = Gemm <alpha = 2.0, transA = 1> (x, w, c) }",
    "(float[3,2] x, float[3,4] w, float[4] c) => (float[2,4] y)"
    " { t = Transpose(x) p = MatMul(t, w) two = Constant <value = float {2}> () q = Mul(p, two) y = Add(q, c) }",
    "(float16[2,4] x, float16[4] w, float16[4] b) => (float16[2,4] y) { y = LayerNormalization(x, w, b) }",
    "(float[3] a, float[3] b) => (bool[3] y, bool[3] z) { y = GreaterOrEqual(a, b) z = LessOrEqual(a, b) }",
    "(bool[3] a, bool[3] b) => (bool[3] y) { o = Or(a, b) x = Xor(a, b) n = Not(x) y = And(o, n) }",
    "(int32[3] a, int32[3] b) => (bool[3] y) { k = Constant <value = int32 {-1}> () l = Less(a, k) g = Greater(k, b)"
    " ge = GreaterOrEqual(a, k) le = LessOrEqual(k, b) e = Equal(a, b) u = Or(l, g) v = Or(ge, le) w = Or(u, v)"
    " y = Or(w, e) }",
    "(float[3] x) => (float[3] y) { e = Constant <value = float {-0.5}> () y = Pow(x, e) }",
    "(float[4] x) => (float[2] y, float[2] z) { y, z = Split <axis = 0, num_outputs = 2> (x) }",
    "(bool[N,N] x) => (bool[N,N] y) { y = Trilu <upper = 1> (x) }",
    "(bool[3] c, bool[3] a, bool[3] b) => (bool[3] y) { y = Where(c, a, b) }",
    "(bool[3] c, bool[3] d, float[3] a, float[3] b) => (float[3] y, bool[3] z) { n = Not(c) y = Where(n, a, b)"
    " f = Constant <value = bool {0}> () e = Not(d) z = Or(e, f) }",
    "(bool[3] c) => (float[3] y, bool[3] z) {"
    " one = Constant <value = float {1}> () none = Constant <value = float {0}> ()"
    " n = Cast <to = 1> (c) y = Where(c, none, one) i = Sub(one, n) z = Cast <to = 9> (i) }",
    "(bool[3] c) => (float[3] y) { one = Constant <value = float {1}> () none = Constant <value = float {0}> ()"
    " y = Where(c, one, none) }",
    "(float[2,3] x) => (float[2,3] y) { k = Constant <value = float[3] {0, 0, 0}> () z = Add(x, k) y = Softmax(z) }",
    "(float[3] x) => (float[3] y) { r = Constant <value = float {1.41421354}> () one = Constant <value = float {1}> ()"
    " h = Constant <value = float {0.5}> () n = Neg(x) q = Div(n, r) e = Erf(q) s = Sub(one, e) p = Mul(x, h)"
    " y = Mul(p, s) }",
    "(float[2,3] x, float[3] w, float[3] b) => (float[2,3] y) { a = Constant <value = int64[1] {-1}> ()"
    " eps = Constant <value = float {1e-5}> () m = ReduceMean(x, a) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, a)"
    " e = Add(v, eps) r = Sqrt(e) i = Reciprocal(r) s = Mul(i, w) n = Neg(m) o = Mul(n, s) t = Add(b, o) u = Mul(x, s)"
    " y = Add(u, t) }",
    "(float[2,N,8] q, float[2,M,4] k) => (float[2,N,8] y)"
    " { y = Attention <q_num_heads = 4, kv_num_heads = 2, is_causal = 1, softmax_precision = 11> (q, k, k) }",
    "(float[3] x) => (float[3] y, bool[3] mask) { y, mask = Dropout(x) }",
    "(float[2,3] x, int64[2] t) => (float[2,3] y, float l, float[2,3] p)"
    " { y = Relu(x) l, p = SoftmaxCrossEntropyLoss(x, t) }",
    "(float[2,3] x, int64[2] t) => (float[2,3] y, float l) { y = LogSoftmax(x) l = NegativeLogLikelihoodLoss(y, t) }",
)
"""What the exported models lack, in opset 23."""


class Seen(NamedTuple):
    """What a pass did to a model, by operator.

    Attributes:
        fewer, more: the difference in number.
        ends: those of `fewer` that something else read, not only what went with them.
    """

    fewer: Counter[str]
    more: Counter[str]
    ends: set[str]


@cache
def exported(name: str, prepared: str) -> Model:
    model = next(one for one in ARTIFACTS if one.name == name).load()
    if prepared:
        run(model, prepared)
    return model


def operators(model: Model) -> Counter[str]:
    return Counter(schema.kind(node) for graph in rewritable_graphs(model) for node in graph.nodes)


def apply(one: Pass, model: Model) -> Seen:
    model = clone(model)
    for number, node in enumerate(model.nodes()):
        node.name = node.name or f"node_{number}"
    nodes = {label(node): node for graph in rewritable_graphs(model) for node in graph.nodes}
    kinds, before = {name: schema.kind(node) for name, node in nodes.items()}, operators(model)
    ends = {tensor for graph in rewritable_graphs(model) for tensor in graph.outputs}
    read = {name: any(tensor in ends for tensor in node.outputs) for name, node in nodes.items()}
    reading = {name: [label(reader) for reader in _readers(node)] for name, node in nodes.items()}
    context = Context(one.name)
    try:
        one.run(model, context)
    except RegraftError:
        return Seen(Counter(), Counter(), set())
    after, left = operators(model), {label(node) for node in model.nodes()}
    fewer = before - after
    gone = {name for change in context.changes for name in change.removed if name in nodes and name not in left}
    asked = {name for name in gone if read[name] or any(reader in left for reader in reading[name])}
    return Seen(fewer, after - before, {kinds[name] for name in asked} & fewer.keys())


def _readers(node: Node) -> Iterator[Node]:
    for tensor in node.outputs:
        yield from tensor.outputs


def hold(one: Pass, *models: Model) -> Iterator[Seen]:
    """What `one` does to each of `models`, which must be what it declares."""
    removes, introduces = one.removes, one.introduces
    for model in models:
        seen = apply(one, model)
        if introduces != EVERY:
            assert not seen.more.keys() - introduces - LAWFUL
        if removes and removes != EVERY:
            assert not seen.ends - removes - LAWFUL
        yield seen


@pytest.fixture(scope="module")
def motifs(parse: Callable[..., Model]) -> list[Model]:
    return [parse(f"agraph {motif}", 23) for motif in MOTIFS]


@pytest.mark.parametrize("name", passes.names())
def test_a_pass_does_what_it_declares(name: str, motifs: list[Model]) -> None:
    fewer: Counter[str] = Counter()
    more: Counter[str] = Counter()
    removes, introduces = set[str](), set[str]()
    models = [*(exported(*export) for export in QUICK), *motifs]
    for one in Pipeline([text for text in TEXTS if text.partition("{")[0] == name]):
        removes |= one.removes
        introduces |= one.introduces
        for seen in hold(one, *models):
            fewer += seen.fewer
            more += seen.more
    assert name in WIDER or not removes - EVERY - fewer.keys()
    assert name in WIDER or not introduces - EVERY - more.keys()


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS)
def test_on_all_exported_models(text: str) -> None:
    models = [exported(artifact.name, prepared) for artifact in ARTIFACTS for prepared in PREPARED]
    assert len([*hold(*Pipeline(text), *models)]) == len(models)


def test_what_a_pass_does_not_declare_is_noticed(parse: Callable[..., Model]) -> None:
    model = parse("agraph (float[2] x) => (float[2] y) { y = Erf(x) }")
    (seen,) = hold(Pipeline("lower-erf").passes[0], model)
    assert seen.ends == {"Erf"}
    assert "Exp" in seen.more
