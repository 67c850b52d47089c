"""`regraft why`, and the line of `regraft rewrite` that points to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import regraft
from regraft.pipelines.registry import passes as registry
from regraft.testing import parse

RULES = """
from regraft import Rule, RulePass, op

class Own(RulePass):
    \"\"\"A rule that refuses, and a larger one that comes near.\"\"\"
    name = "own"

    def rules(self):
        small = Rule(lambda x: op.Neg(op.Relu(x)), lambda x: x, lambda x: "x is not what it was", name="small")
        large = Rule(lambda x: op.Neg(op.Relu(op.Exp(op.Abs(op.Sin(x))))), lambda x: x, name="large")
        return [large, small]
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes a model of one graph, beside a file with a pass of one's own."""
    monkeypatch.setattr(registry, "_added", {})
    (tmp_path / "own.py").write_text(RULES)

    def write(body: str) -> Path:
        onnx.save(
            regraft.to_proto(parse(f"g (float[2, 3] x) => (float[2, 3] y) {{ {body} }}")), tmp_path / "model.onnx"
        )
        return tmp_path / "model.onnx"

    return write


def test_a_refusal_of_a_rule_is_not_hidden_by_one_that_comes_nearer(run, written):
    body = "a = Cos(x) b = Abs(a) c = Exp(b) d = Relu(c) y = Neg(d)"
    path = written(body)
    result = run("why", path, "--pass", "own", "--load", path.with_name("own.py"))
    assert result.exit_code == 0, result.stderr
    assert "applies nowhere" in result.stdout
    assert "small: 2 of 2 operators match" in result.stdout
    assert "x is not what it was" in result.stdout


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("y = Erf(x)", "fuse-gelu: applies nowhere: the model lacks Div, Mul, Neg; Sub; Tanh; Gelu"),
        (
            "y = Gelu(x)",
            "fuse-gelu: applies nowhere\n%y\n  function: 1 of 1 operator match; at %y: it is the operator",
        ),
        ("a = Sigmoid(x) y = Mul(a, x)", "fuse-gelu: applies nowhere: the model lacks Erf; Tanh; Gelu"),
    ],
)
def test_where_nothing_matches_nothing_else_is_claimed(run, written, body, said):
    result = run("why", written(body), "--pass", "fuse-gelu")
    assert result.stdout.startswith(said), result.stdout
    assert "every place" not in result.stdout


@pytest.mark.parametrize(
    ("text", "body", "node", "reason"),
    [
        ("fuse-attention", "[s] y = Softmax(x)", "s", "no MatMul makes what it reads"),
        ("fuse-gemm", "[s] y = Add(x, x)", "s", "no product of two matrices"),
        ("externalize-embeddings", "y = Relu(x)", "no embeddings", "no table is looked up by token ids"),
        ("externalize-mask", "y = Relu(x)", "no mask to move", "none is computed"),
        ("expose-position-ids", "y = Relu(x)", "no position ids", "no table is looked up"),
        ("split-layers", "y = Relu(x)", "split-layers", "the model has no layers to split"),
    ],
)
def test_every_recogniser_says_where_and_why_it_does_not_apply(run, written, text, body, node, reason):
    (miss,) = json.loads(run("why", written(body), "--pass", text, "--json").stdout)
    assert miss["node"] == node
    assert reason in miss["reason"]


def test_it_says_how_often_a_pass_applies(run, written):
    path = written("a = Reciprocal(x) y = Reciprocal(a)")
    assert run("why", path, "--pass", "lower-reciprocal").stdout == (
        "lower-reciprocal: applies at 2 places; no other comes near\n"
    )
    assert run("why", path, "--pass", "lower-einsum").stdout == (
        "lower-einsum: applies nowhere: the model lacks Einsum\n"
    )


def test_rewrite_points_to_it_where_a_pass_that_was_asked_for_did_nothing(run, written, tmp_path):
    path, out = written("y = Relu(x)"), tmp_path / "out.onnx"
    lines = run("rewrite", path, "-o", out, "--pipeline", "fuse-gelu,repeat(fuse-attention)").stdout.splitlines()
    assert [line.endswith("nothing: see regraft why") for line in lines[1:3]] == [True, True]
    assert "regraft why" not in run("rewrite", path, "-o", out).stdout


def test_quiet_refusals_are_in_no_report(written):
    model = regraft.load(written("[s] y = Softmax(x)"))
    assert regraft.run(model, "fuse-attention").passes[0].refusals == []
