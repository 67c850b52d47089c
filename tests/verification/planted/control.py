"""Rewrites that are wrong in a branch, a loop or a scan, and those of strings, sequences and random numbers."""

from __future__ import annotations

from tests.verification.planted.pair import random, wrong

X = "(float[batch,seq,8] x) => (float[] y)"
LOOPED = "(float[batch,seq,8] x) => (float[batch,seq,8] y)"


def choice(condition: str, taken: str, other: str) -> str:
    """An If, by `condition`, between two operators on x."""
    return (
        f"{X} {{ {condition} y = If (c) <then_branch = t () => (float[p,q,r] u) {{ u = {taken}(x) }},"
        f" else_branch = e () => (float[p,q,r] v) {{ v = {other}(x) }}> }}"
    )


def loop(body: str, trips: str = "i3", keep: str = "go") -> str:
    """A Loop over a state that starts as x."""
    return (
        f"{LOOPED} {{ y = Loop ({trips}, true, x) <body = b (int64 i, bool go, float[p,q,r] a) =>"
        " (bool d, float[p,q,r] n)"
        f" {{ d = Identity({keep}) {body} }}> }}"
    )


SUM = "s = ReduceSum <keepdims = 0> (x) c = Greater(s, f0)"
SUMS = "s = ReduceSum <keepdims = 0> (x) c = Greater(s, f100)"
FLAG = "(float[n,8] x, bool flag) => (float[] y)"
WORDS = '<string[4] words = {"one", "two", "three", "four"}>'
IDS = "(int64[n] ids) => (string[] y)"

CONTROL = [
    wrong(
        "then", "the branch that is taken above zero is another", choice(SUM, "Tanh", "Neg"), choice(SUM, "Atan", "Neg")
    ),
    wrong("else", "the branch that is taken below zero is gone", choice(SUM, "Tanh", "Neg"), f"{X} {{ y = Tanh(x) }}"),
    wrong(
        "flag",
        "a flag among the inputs is always true",
        f"{FLAG} {{ y = If (flag) <then_branch = t () => (float[p,q] u) {{ u = Exp(x) }},"
        " else_branch = e () => (float[p,q] v) { v = Neg(x) }> }",
        f"{FLAG} {{ y = Exp(x) }}",
    ),
    wrong("trips", "a Loop goes round twice, not three times", loop("n = Sin(a)"), loop("n = Sin(a)", trips="i2")),
    wrong(
        "loop-body",
        "a Loop's body adds 0.001",
        loop("n = Tanh(a)"),
        loop("k = Constant <value = float {0.001}> () t = Tanh(a) n = Add(t, k)"),
    ),
    wrong(
        "loop-ends-early",
        "a Loop ends when all values are small",
        loop("h = Constant <value = float {0.5}> () n = Mul(a, h)", "i16"),
        loop(
            "h = Constant <value = float {0.5}> () n = Mul(a, h) b = Abs(n) m = ReduceMax <keepdims = 0> (b)"
            " l = Constant <value = float {0.1}> () w = Greater(m, l)",
            "i16",
            "w",
        )
        .replace("d = Identity(w)", "")
        .replace("w = Greater", "d = Greater"),
    ),
    wrong(
        "scan-backwards",
        "a Scan runs backwards",
        "(float[seq,4] x, float[4] z) => (float[] last_, float[] y) { last_, y = Scan (z, x) <num_scan_inputs = 1,"
        " body = b"
        " (float[4] a, float[4] e) => (float[4] n, float[4] o) { n = Add(a, e) o = Identity(n) }> }",
        "(float[seq,4] x, float[4] z) => (float[] last_, float[] y) { last_, y = Scan (z, x) <num_scan_inputs = 1,"
        " scan_input_directions = [1], body = b (float[4] a, float[4] e) => (float[4] n, float[4] o) { n = Add(a, e)"
        " o = Identity(n) }> }",
    ),
    wrong(
        "a-word",
        "one word of a table of strings is another",
        f"{IDS} {WORDS} {{ y = Gather(words, ids) }}",
        f"{IDS} {WORDS.replace('three', 'tree')} {{ y = Gather(words, ids) }}",
    ),
    wrong(
        "words-joined",
        "two strings are joined in the other order",
        "(string[n] a, string[n] b) => (string[] y) { y = StringConcat(a, b) }",
        "(string[n] a, string[n] b) => (string[] y) { y = StringConcat(b, a) }",
        opset=20,
    ),
    wrong(
        "sequence-order",
        "a sequence in the other order",
        "(float[n,2] a, float[n,2] b) => (seq(float[n,2]) y) { y = SequenceConstruct(a, b) }",
        "(float[n,2] a, float[n,2] b) => (seq(float[n,2]) y) { y = SequenceConstruct(b, a) }",
    ),
    wrong(
        "sequence-shorter",
        "a sequence lost its last tensor",
        "(float[n,2] a, float[n,2] b) => (seq(float[n,2]) y) { y = SequenceConstruct(a, b, a) }",
        "(float[n,2] a, float[n,2] b) => (seq(float[n,2]) y) { y = SequenceConstruct(a, b) }",
    ),
    wrong(
        "all-random",
        "the only output, random, is uniform and no more normal",
        f"{X} {{ y = RandomNormalLike(x) }}",
        f"{X} {{ y = RandomUniformLike(x) }}",
    ),
    wrong(
        "random-bits",
        "the only output, a coin, is thrown with other odds",
        f"{X} {{ p = Sigmoid(x) b = Bernoulli(p) y = Add(b, f1) }}",
        f"{X} {{ p = Tanh(x) q = Abs(p) b = Bernoulli(q) y = Add(b, f1) }}",
    ),
    wrong(
        "random-shape",
        "a random output has another shape",
        "(float[batch,seq,8] x) => (float[batch,seq,k] y, float[] z) { y = RandomNormalLike(x) z = Neg(x) }",
        "(float[batch,seq,8] x) => (float[batch,seq,k] y, float[] z) { r = RandomNormalLike(x) y = ReduceSum(r, last)"
        " z = Neg(x) }",
    ),
    wrong(
        "beside-random",
        "the output beside a random one is wrong",
        f"{X.replace('y)', 'y, float[] z)')} {{ y = RandomNormalLike(x) z = MatMul(x, w) }}",
        f"{X.replace('y)', 'y, float[] z)')} {{ y = RandomNormalLike(x) p = MatMul(x, w) z = Relu(p) }}",
        weights={"w": random(8, 8)},
    ),
    wrong(
        "function",
        "a local function's body is another",
        '(float[n,8] x) => (float[] y) { y = mine.Act(x) } <domain: "mine", opset_import: ["" : 17]> Act (a) => (b)'
        " { b = Tanh(a) } !mine:1",
        '(float[n,8] x) => (float[] y) { y = mine.Act(x) } <domain: "mine", opset_import: ["" : 17]> Act (a) => (b)'
        " { c = Tanh(a) b = Relu(c) } !mine:1",
    ),
    wrong(
        "number-as-flag",
        "a branch that is taken for numbers over 1 is gone",
        "(float[n,8] x, int64 mode) => (float[] y) { c = Greater(mode, i1)"
        " y = If (c) <then_branch = t () => (float[p,q] u) { u = Exp(x) },"
        " else_branch = e () => (float[p,q] v) { v = Neg(x) }> }",
        "(float[n,8] x, int64 mode) => (float[] y) { y = Neg(x) }",
    ),
    wrong(
        "rarely",
        "a branch that is taken where the sum is large is gone",
        choice(SUMS, "Tanh", "Neg"),
        f"{X} {{ y = Neg(x) }}",
    ),
    wrong(
        "sequence-at",
        "the second of a sequence is taken, not the first",
        "(seq(float[n,2]) s) => (float[] y) { y = SequenceAt(s, i0) }",
        "(seq(float[n,2]) s) => (float[] y) { y = SequenceAt(s, i1) }",
    ),
    wrong(
        "overridden-ignored",
        "a factor that a caller may override is taken for its default",
        "(float[n,8] x, float[1] k = {2}) => (float[] y) { y = Mul(x, k) }",
        "(float[n,8] x, float[1] k = {2}) => (float[] y) { y = Add(x, x) }",
    ),
]
