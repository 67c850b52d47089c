"""Every command says its result, and its errors, as JSON where it is asked to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import pytest

from regraft.cli import COMMANDS, cli

SUCCEEDS: dict[str, list[str]] = {
    "rewrite": ["MODEL", "-o", "OUT.onnx", "--pipeline", "fuse-gelu"],
    "check": ["MODEL", "--target", "tvm"],
    "legalize": ["MODEL", "--target", "tvm", "-o", "OUT.onnx"],
    "compile": ["MODEL", "--target", "neuron-inf1{batch=1,sequence=8}", "-o", "OUT"],
    "import": ["MODEL", "-o", "OUT.onnx"],
    "run": ["MODEL"],
    "verify": ["MODEL", "MODEL"],
    "bisect": ["MODEL", "--pipeline", "fuse-gelu"],
    "reduce": ["MODEL", "--check", "false", "-o", "OUT"],
    "diff": ["MODEL", "MODEL"],
    "show": ["MODEL"],
    "log": ["MODEL"],
    "blame": ["MODEL", "start_logits"],
    "bench": ["MODEL", "MODEL", "--runs", "2"],
    "pack-lengths": ["short"],
    "export-triton": ["MODEL", "-o", "OUT"],
    "why": ["MODEL", "--pass", "fuse-gelu"],
    "prove": ["fuse-gelu"],
    "test": ["lower-reciprocal"],
    "new-pass": ["fuse-my-swish", "-o", "OUT"],
    "precision-plan": ["MODEL"],
    "passes": ["fuse-gelu"],
    "targets": [],
}
"""Words of a command that succeeds; without those that need a server, a long time, or a bundle."""

OTHERS = {"load-test": ["http://127.0.0.1:9"], "serve": ["NOWHERE"], "report": ["NOWHERE"], "demo": ["-o", "NOWHERE/x"]}
"""Words of one that fails."""


@pytest.fixture
def words(model: Path, tmp_path: Path) -> Any:
    """The words of a command, with the places that they stand for."""
    places = {"MODEL": str(model), "OUT": str(tmp_path / "out"), "OUT.onnx": str(tmp_path / "out.onnx")}
    return lambda command, found: [command, *(places.get(word, word) for word in found[command])]


def documents(text: str) -> Iterator[Any]:
    """The documents that stand one after the other in a text."""
    decoder, text = json.JSONDecoder(parse_constant=pytest.fail), text.lstrip()
    while text:
        found, end = decoder.raw_decode(text)
        yield found
        text = text[end:].lstrip()


def test_every_command_is_here() -> None:
    assert sorted([*SUCCEEDS, *OTHERS]) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_json(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command
    (option,) = (one for one in command.params if "--json" in one.opts)
    assert isinstance(option, click.Option)
    assert option.is_flag


@pytest.mark.parametrize("name", SUCCEEDS)
def test_a_result_is_one_document(run: Any, words: Any, name: str) -> None:
    result = run(*words(name, SUCCEEDS), "--json")
    assert result.exit_code in (0, 1), result.stderr
    (found,) = documents(result.stdout)
    assert "error" not in found


@pytest.mark.parametrize("more", [["--list"], []])
def test_lists_are_documents_too(run: Any, model: Path, more: list[str]) -> None:
    (found,) = documents(run(*(["import", *more] if more else ["show", model, "--graph"]), "--json").stdout)
    assert {row["frontend"] for row in found} > {"onnx", "mxnet"} if more else found["graph"][0].startswith("graph ")


def failed(result: Any) -> dict[str, Any]:
    """The error that a command told as JSON, and as a line."""
    assert result.exit_code == 2
    *said, found = documents(result.stdout)
    assert all(line.keys() == {"said"} for line in said)  # a server's
    assert found.keys() == {"error"}
    assert result.stderr.splitlines()[-1] == f"regraft: error: {found['error']['message']}"
    return dict(found["error"])


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_usage_is_one_document(run: Any, name: str) -> None:
    error = failed(run(name, "--json", "--no-such-option"))
    assert error["kind"] == "NoSuchOption"
    assert f"{name} --help'" in error["message"]


@pytest.mark.parametrize(
    ("words", "kind", "says"),
    [
        (["rewirte", "--json"], "UsageError", "did you mean 'rewrite'?"),
        (["show", "NOWHERE", "--json"], "ModelError", "cannot read NOWHERE: No such file or directory"),
        (["passes", "fuse-gelo", "--json"], "UnknownNameError", "did you mean 'fuse-gelu'?"),
        (["load-test", "http://127.0.0.1:9", "--json"], "ServerError", "127.0.0.1:9"),
        (["serve", "NOWHERE", "--json"], "ModelError", "NOWHERE"),
        (["report", "NOWHERE", "--json"], "ModelError", "NOWHERE"),
    ],
)
def test_an_error_is_one_document(run: Any, words: list[str], kind: str, says: str) -> None:
    error = failed(run(*words))
    assert error["kind"] == kind
    assert says in error["message"]


def test_an_error_says_which_passes_may_help(run: Any, model: Path) -> None:
    result = run("rewrite", model, "-o", "x.onnx", "--pipeline", "convert-opset{version=99999}", "--json")
    assert failed(result)["needs"] == []


def test_a_bug_is_one_document(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regraft.inspection.show.summarize", lambda _: nullcontext().nothing)
    error = failed(run("show", Path(__file__).parents[1] / "artifacts/pytorch/vit-ts.onnx", "--json"))
    assert error["kind"] == "AttributeError"
    assert "--debug" in error["message"]


def test_without_json_an_error_leaves_the_output_empty(run: Any) -> None:
    assert run("show", "NOWHERE").stdout == ""


def test_a_server_says_a_line_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    from regraft.cli.serve import _say_as_json

    _say_as_json("serving here")
    assert list(documents(capsys.readouterr().out)) == [{"said": "serving here"}]
