"""`regraft prove`, and what its page says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from regraft.cli import cli
from regraft.pipelines.registry import passes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "proving.md").read_text(encoding="utf-8")
(OWN,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)

WRONG = """
from regraft import Rule, RulePass, op, reassociation

class Wrong(RulePass):
    \"\"\"A quotient turned round.\"\"\"

    name, contract = "turned-round", reassociation

    def rules(self):
        return [Rule(lambda x, y: x / y, lambda x, y: y / x, name="quotient"), Rule(lambda x: -(-x), lambda x: x)]
"""

Prove = Callable[..., Result]


@pytest.fixture
def prove(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Prove:
    monkeypatch.setattr(passes, "_added", {})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_passes.py").write_text(OWN)
    (tmp_path / "wrong.py").write_text(WRONG)
    return lambda *arguments: CliRunner().invoke(cli, ["prove", *arguments])


def test_the_pass_of_the_page_is_proved(prove: Prove) -> None:
    result = prove("my_passes.py")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == ["mean-by-sum", "ReduceMean", "proved"]


def test_a_wrong_rule_is_refused_and_the_others_are_not(prove: Prove) -> None:
    result = prove("wrong.py")
    assert result.exit_code == 1
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["pass", "rule", "verdict", "bound", "reason"]
    assert first.split()[:3] == ["turned-round", "quotient", "refused"]
    assert "before minus after is" in first
    assert second.split() == ["turned-round", "Neg", "proved"]


def test_json_has_the_counterexample(prove: Prove) -> None:
    wrong, right = json.loads(prove("wrong.py", "--json").stdout)
    assert right == {"pass": "turned-round", "rule": "Neg", "verdict": "proved", "bound": None, "reason": ""}
    assert wrong["verdict"] == "refused"
    shown = wrong["counterexample"]
    x, y = (np.array(shown["inputs"][name]) for name in "xy")
    np.testing.assert_allclose(np.array(shown["before"]), x / y)
    np.testing.assert_allclose(np.array(shown["after"]), y / x)


def test_json_knows_no_nan(prove: Prove) -> None:
    Path("guard.py").write_text(
        WRONG.replace("x, y: x / y", "x: op.Where(op.IsNaN(x), 0.0, x)").replace("x, y: y / x", "x: x")
    )

    def refuse(name: str) -> None:
        raise AssertionError(name)

    first, _ = json.loads(prove("guard.py", "--json").stdout, parse_constant=refuse)
    assert "nan" in json.dumps(first["counterexample"]["inputs"])


def test_a_pass_with_options_and_one_in_all_its_forms(prove: Prove) -> None:
    one = json.loads(prove("lower-gelu{form=tanh}", "--json").stdout)
    assert [row["verdict"] for row in one] == ["within", "proved"]
    assert one[0]["bound"] == pytest.approx(4.733e-4, rel=1e-3)
    every = json.loads(prove("lower-gelu", "--json").stdout)
    assert {row["pass"] for row in every} == {"lower-gelu", "lower-gelu{form=tanh}", "lower-gelu{form=sigmoid}"}


def test_a_pass_of_a_loaded_file(prove: Prove) -> None:
    assert prove("mean-by-sum", "--load", "my_passes.py").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["eliminate-dead-code"], "not made of rules"),
        (["fuse-gelus"], "fuse-gelu"),
        (["lower-gelu{form=quick}"], "erf, tanh, sigmoid"),
        (["none.py"], "no file of passes"),
        (["plain.py"], "no pass that is made of rules"),
    ],
)
def test_what_cannot_be_proved_is_one_line(prove: Prove, arguments: list[str], reason: str) -> None:
    Path("plain.py").write_text("import regraft\n\nclass Plain(regraft.Pass):\n    name = 'plain'\n")
    result = prove(*arguments)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert reason in result.stderr


def test_the_page_has_the_figures_of_today(prove: Prove) -> None:
    rows = json.loads(prove("--json").stdout)
    verdicts = [row["verdict"] for row in rows]
    assert f"Of the {len(rows)} rules" in PAGE.replace("\n", " ")
    assert f"{verdicts.count('proved')} are proved and {verdicts.count('within')}" in PAGE
    bounds = re.findall(r"^\| (?:`lower|the same).* \| ([\d.e-]+) \|$", PAGE, re.M)
    assert sorted(map(float, bounds)) == pytest.approx(sorted(row["bound"] for row in rows if row["bound"]), rel=1e-3)
