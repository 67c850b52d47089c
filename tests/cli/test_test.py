"""`regraft test`: its table, its JSON, its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from regraft.pipelines.registry import passes as registry

PASS = """
from regraft import Rule, RulePass, op, reassociation

class Own(RulePass):
    \"\"\"Rules of one's own.\"\"\"
    name, contract = "own", reassociation

    def rules(self):
        return [{rules}]
"""
RIGHT = 'Rule(lambda x: x * op.Clip(x + 3.0, 0.0, 6.0) / 6.0, lambda x: op.HardSwish(x), name="swish")'
WRONG = 'Rule(lambda x: op.Clip(x + 3.0, 0.0, 6.0) / 6.0, lambda x: (x + 3.0) / 6.0, name="clip")'
UNTESTED = 'Rule(lambda x: op["acme"].Foo(x), lambda x: op["acme"].Bar(x), name="foo")'
PROVED = 'Rule(lambda x: op.Neg(op.Neg(x)), lambda x: x, lambda x: "never", name="never")'

Test = Callable[..., Result]


@pytest.fixture
def tested(run, tmp_path, monkeypatch) -> Test:
    """Tests a file with a pass of some rules."""
    monkeypatch.setattr(registry, "_added", {})

    def call(rules: str, *options: str) -> Result:
        path = tmp_path / "own.py"
        path.write_text(PASS.format(rules=rules))
        return run("test", path, *options)

    return call


@pytest.mark.parametrize(
    ("rules", "code", "verdicts"),
    [
        (RIGHT, 0, ["right"]),
        (f"{RIGHT}, {WRONG}", 1, ["right", "wrong"]),
        (f"{RIGHT}, {UNTESTED}", 2, ["right", "untested"]),
        (f"{UNTESTED}, {WRONG}", 1, ["untested", "wrong"]),
        (PROVED, 0, ["untested"]),
    ],
)
def test_the_exit_code_says_what_was_found(tested: Test, rules: str, code: int, verdicts: list[str]) -> None:
    result = tested(rules)
    assert result.exit_code == code, result.output
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["pass", "rule", "verdict", "models", "proof", "reason"]
    assert [line.split()[2] for line in lines] == verdicts


def test_a_wrong_rule_is_shown_with_the_inputs_that_tell(tested: Test) -> None:
    assert "x = [[4.]]: 1 before, 1.16667 after" in tested(WRONG).stdout
    (found,) = json.loads(tested(WRONG, "--json").stdout)
    assert (found["pass"], found["rule"], found["verdict"], found["proof"]) == ("own", "clip", "wrong", "refused")
    difference = found["difference"]
    assert (difference["inputs"], difference["before"], difference["dtype"]) == ({"x": [[4.0]]}, [[1.0]], "float64")


def test_what_is_proved_is_said_to_be(tested: Test) -> None:
    (found,) = json.loads(tested(RIGHT, "--json").stdout)
    assert (found["verdict"], found["proof"]) == ("right", "proved")
    assert found["models"] > 10


def test_a_pass_by_its_name(run) -> None:
    result = run("test", "lower-reciprocal")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split()[:3] == ["lower-reciprocal", "reciprocal", "right"]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (WRONG.replace("op.Clip", "op.Clp"), "no operator named 'Clp'; did you mean 'Clip'?"),
        (RIGHT.replace("lambda x: op.HardSwish(x)", "lambda z: op.HardSwish(z)"), "no name named 'z'"),
    ],
)
def test_a_rule_that_is_written_wrongly_is_trouble(tested: Test, rules: str, said: str) -> None:
    result = tested(rules)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "own.py:9: " in result.stderr


def test_what_is_not_made_of_rules_is_trouble(run) -> None:
    result = run("test", "fuse-attention")
    assert result.exit_code == 2
    assert "not made of rules" in result.stderr
