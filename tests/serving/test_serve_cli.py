"""`regraft serve` says in one line what it cannot do, and how it ends."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("starlette", reason="regraft[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

import regraft.serving
from regraft.cli import cli
from tests.serving.served import process

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(
            cli, ["serve", *map(str, arguments), *(["--port", "0"] if "--port" not in arguments else [])]
        )

    return invoke


@pytest.fixture
def model(artifacts: Path) -> Path:
    return artifacts / "pytorch/bert-qa-eager-dynamo.onnx"


def failed(result: Result) -> str:
    """The one line that an error is; lines before it say what was begun."""
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("regraft: error: ")
    return last


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--batch", 2, "--tokens", 64), "exclude each other"),
        (("--lengths", "short", "--tokens", 64), "exclude each other"),
        (("--lengths", "shorts"), "no file or set of lengths named 'shorts'"),
        (("--token", "two words"), "printable ASCII"),
        (("--token", ""), "printable ASCII"),
        (("--instances", 0), "--instances"),
        (("--port", 70000), "--port"),
        (("--host", "no.such.host.invalid"), "cannot listen on no.such.host.invalid"),
        (("--tokenizer", "nowhere.json"), "no tokenizer at nowhere.json"),
    ],
)
def test_options_that_cannot_be(run: Run, model: Path, arguments: tuple[object, ...], why: str) -> None:
    assert why in failed(run(model, *arguments))


def test_what_is_no_model(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.onnx").write_text("no model")
    for name in ("nowhere", "empty", "text.onnx"):
        assert name in failed(run(tmp_path / name))


def test_a_port_that_is_taken(run: Run, model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        why = failed(run(model, "--port", taken.getsockname()[1]))
    assert "choose another with --port" in why


def test_what_is_not_installed(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "regraft.serving.app", raising=False)
    monkeypatch.delattr(regraft.serving, "app", raising=False)
    assert "pip install 'regraft[serve]'" in failed(run(model))


def test_a_fixed_shape_is_not_to_be_chosen(run: Run, model: Path, tmp_path: Path) -> None:
    packed = regraft.load(model)
    regraft.run(packed, "pack-sequences{rows=2,tokens=24}")
    regraft.write_bundle(packed, tmp_path / "packed")
    assert "has a fixed shape" in failed(run(tmp_path / "packed", "--batch", 2))


def test_a_batch_that_the_model_does_not_take(run: Run, artifacts: Path) -> None:
    assert "takes 3 sequences" in failed(run(artifacts / "pytorch/bert-static-dynamo.onnx", "--batch", 4))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(model: Path, number: int) -> None:
    with process(model) as (running, address, said):
        assert "warning" not in said
        assert address.startswith("http://127.0.0.1:")
        running.send_signal(number)
        assert running.wait(20) == 0


def test_what_is_fastest_is_measured(model: Path, tmp_path: Path) -> None:
    packed = regraft.load(model)
    regraft.run(packed, "unpack-attention")
    regraft.write_bundle(packed, tmp_path / "packed")
    (tmp_path / "lengths.txt").write_text("3 5 9 2 7 12 4 4")
    with process(tmp_path / "packed", "--lengths", tmp_path / "lengths.txt") as (running, _, said):
        assert "sequences a second of" in said
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0


def test_an_open_server_without_a_token_is_warned_of(model: Path) -> None:
    with process(model, "--host", "0.0.0.0") as (running, _, said):
        assert "warning: anyone who reaches this machine" in said
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
