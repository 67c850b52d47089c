"""docs/command-line.md tells what is true."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from regraft.cli.completion import VARIABLE

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("regraft ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(run, model, tmp_path, monkeypatch, command):
    if "tvm" in command:
        pytest.importorskip("tvm", reason="tvm is not installed")
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "model.onnx")
    result = run(*shlex.split(command)[1:])
    assert result.exit_code == 0, result.stderr


def test_the_error_is_as_shown(run):
    (shown,) = (text for kind, text in BLOCKS if kind == "json")
    assert json.loads(shown) == json.loads(run("passes", "fuse-gelo", "--json").stdout)


def test_the_lines_of_the_shells_ask_for_their_scripts():
    assert set(re.findall(r"(\w+)_source", PAGE)) == {"bash", "zsh", "fish"}
    assert VARIABLE in PAGE
