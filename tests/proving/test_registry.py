"""The verdict on every rule of every pass: one that lost its proof fails here, and so does a rule that has none."""

from __future__ import annotations

import pytest

from regraft.pipelines.registry import passes
from regraft.proving.passes import forms, prove_passes
from regraft.rewriting.rule_pass import RulePass

LAYER_NORMS = {
    f"lower-layer-norm{form}": [name, f"{name} (no bias)"]
    for form, name in (("", "pow"), ("{form=mul}", "mul"), ("{form=rsqrt}", "rsqrt"), ("{form=fold}", "fold"))
}

PROVED = {
    "fuse-gelu": ["erf", "erfc", "tanh", "function"],
    "fuse-layer-norm": ["affine", "scaled", "shifted", "plain", "function"],
    "lower-div": ["div"],
    "lower-gelu": ["erf", "erf (of tanh)"],
    "lower-gelu{form=tanh}": ["tanh (of tanh)"],
    **LAYER_NORMS,
    "lower-pow": ["pow"],
    "lower-reciprocal": ["reciprocal"],
    "lower-reduce-mean": ["sum"],
    "lower-reduce-mean{form=matmul}": ["matmul"],
    "lower-softmax": ["softmax", "log-softmax"],
    "lower-trilu": ["where", "where (k)"],
    "lower-trilu{form=mul}": ["mul", "mul (k)"],
    "lower-where": ["Where"],
    "simplify-mask": [
        *("guard against NaN", "Where(c, 1, 0)", "Where(c, 0, 1)", "1 - (1 - m)", "Where(Not)", "negation in numbers"),
    ],
}
WITHIN = {
    ("lower-gelu{form=tanh}", "tanh"): 4.733e-4,
    ("lower-gelu{form=sigmoid}", "sigmoid"): 2.0337e-2,
    ("lower-gelu{form=sigmoid}", "sigmoid (of tanh)"): 2.0662e-2,
    ("lower-erf{form=tanh}", "tanh"): 2.807e-4,
    ("lower-erf", "rational"): 4.705e-6,
}

RULE_PASSES = [name for name in passes.names() if issubclass(passes.load(name), RulePass)]


@pytest.mark.parametrize("name", RULE_PASSES)
def test_each_rule_has_the_verdict_that_it_had(name: str) -> None:
    found = {(p.pass_text, p.rule): p.verdict for p in prove_passes(forms(passes.load(name)))}  # type: ignore[arg-type]
    proved = {(text, rule) for text, rules in PROVED.items() for rule in rules if text.partition("{")[0] == name}
    within = {key for key in WITHIN if key[0].partition("{")[0] == name}
    assert {key for key, verdict in found.items() if verdict.outcome == "proved"} == proved
    assert {key for key, verdict in found.items() if verdict.outcome == "within"} == within
    assert found.keys() == proved | within, [verdict.reason for verdict in found.values()]
    for key in within:
        assert 0.999 * WITHIN[key] < found[key].bound <= WITHIN[key]  # type: ignore[operator]


def test_every_approximation_is_among_them() -> None:
    bounded = {str(form) for name in RULE_PASSES for form in forms(passes.load(name)) if form.contract.bound}  # type: ignore[arg-type]
    assert bounded == {text for text, _ in WITHIN}
