"""The commands `bisect` and `reduce`, and what docs/bisect.md shows of them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regraft.cli import cli
from regraft.files.loading import load
from regraft.files.saving import save
from regraft.models import bert, chain
from regraft.pipelines.registry import passes as registry

PAGE = (Path(__file__).parents[2] / "docs" / "bisect.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
OWN_PASS = next(text for kind, text in BLOCKS if kind == "python")
COMMANDS = [text.strip() for kind, text in BLOCKS if kind == "sh"]
SHOWN = [text for kind, text in BLOCKS if kind == "text"]
WRONG = "--load my_passes.py --pipeline eliminate-identity,pow-to-mul"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where `model.onnx` and `my_passes.py` are; the registry forgets."""
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.chdir(tmp_path)
    save(bert.build(bert.Size(layers=4), bert.Style(gelu="tanh")), tmp_path / "model.onnx")
    (tmp_path / "my_passes.py").write_text(OWN_PASS)
    return tmp_path


def run(line: str) -> Result:
    return CliRunner().invoke(cli, shlex.split(line.removeprefix("regraft ")))


@pytest.mark.parametrize(("command", "shown"), [*zip(COMMANDS, SHOWN, strict=True)])
def test_the_page_shows_what_the_commands_print(folder, command, shown):
    result = run(command)
    assert result.exit_code == (1 if " bisect " in command else 0), result.output
    lines = [".*".join(map(re.escape, line.split("..."))) for line in shown.splitlines()]
    assert len(lines) == len(result.stdout.splitlines())
    for pattern, line in zip(lines, result.stdout.splitlines(), strict=True):
        assert re.fullmatch(pattern, line), line


def test_the_folder_of_a_reproducer_has_what_its_command_needs(folder, monkeypatch):
    assert run(f"reduce model.onnx {WRONG} --trials 1 -o small").exit_code == 0
    command = re.search(r"```sh\n(.*)\n```", (folder / "small" / "README.md").read_text())
    assert command is not None
    monkeypatch.chdir(folder / "small")
    monkeypatch.setattr(registry, "_added", {})
    again = run(command[1])
    assert again.exit_code == 1
    assert again.stdout.startswith("pass 'pow-to-mul', rule 'square' at ")


def test_rewrite_offers_the_command_and_runs_it(folder):
    failed = run(f"rewrite model.onnx -o better.onnx {WRONG} --trials 1")
    assert failed.exit_code == 2
    line = failed.stderr.partition("to find the match: ")[2].strip()
    assert line == ("regraft bisect model.onnx --pipeline eliminate-identity,pow-to-mul --load my_passes.py --trials 1")
    found = run(f"rewrite model.onnx -o better.onnx {WRONG} --trials 1 --bisect")
    assert found.exit_code == 2
    assert "at '/encoder/layer.0/intermediate/Pow' (match 3 of 13)" in found.stderr
    assert not (folder / "better.onnx").exists()


def test_bisect_as_json(folder):
    said = json.loads(run(f"bisect model.onnx {WRONG} --trials 1 --json").stdout)
    assert (said["pass"], said["rule"]) == ("pow-to-mul", "square")
    assert said["nodes"] == ["/encoder/layer.0/intermediate/Pow"]
    assert said["runs"] <= 12


def test_bisect_where_nothing_fails(folder):
    result = run("bisect model.onnx --pipeline fuse-gelu --trials 1")
    assert result.exit_code == 0
    assert result.stdout.startswith("nothing fails: ")


def test_reduce_against_another_model_as_json(folder):
    model = chain.build(60)
    save(model, folder / "a.onnx")
    other = load(folder / "a.onnx")
    next(node for node in other.graph.nodes if node.op == "Sqrt" and "layer_norm" in node.name).op = "Abs"
    save(other, folder / "b.onnx")
    result = run("reduce a.onnx --against b.onnx --trials 1 --json -o small")
    said = json.loads(result.stdout)
    assert [node["operator"] for node in said["nodes"]] == ["Sqrt"]
    assert said["command"] == "regraft verify model.onnx against.onnx --inputs inputs.npz"
    assert {path.name for path in (folder / "small").iterdir()} == {
        "README.md",
        "against.onnx",
        "inputs.npz",
        "model.onnx",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("reduce model.onnx", "say what is wrong"),
        ("reduce model.onnx --check false --target tract", "say what is wrong"),
        ("reduce model.onnx --pipeline fuse-gelu --against model.onnx", "exclude each other"),
        ("reduce model.onnx --pipeline fuse-gelu --trials 1", "nothing wrong"),
        ("reduce model.onnx --check true --trials 1", "nothing wrong"),
        ("reduce model.onnx --check 'no-such-program-at-all' --trials 1", "cannot run no-such-program-at-all"),
        ('reduce model.onnx --check "\'"', "does not parse"),
        ("bisect model.onnx --pipeline fuse-gelu --compile", "needs a --target"),
        ("bisect model.onnx --pipeline fuse-gelu --keep lower-erf", "no pass of the pipeline named 'lower-erf'"),
        ("bisect none.onnx --pipeline fuse-gelu", "none.onnx"),
    ],
)
def test_bad_input_is_one_line(folder, line, said):
    result = run(line)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr
