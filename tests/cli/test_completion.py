"""What the shell offers at a tab."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import get_completion_class

from regraft.cli import COMMANDS, cli
from regraft.cli.completion import VARIABLE
from regraft.pipelines.registry import passes, targets

HEAVY = ("onnx", "numpy", "onnxruntime")


def offered(*words: str, shell: str = "zsh") -> list[str]:
    """The words that a shell is offered for the last of `words`."""
    kind = get_completion_class(shell)
    assert kind
    *before, last = words
    return [item.value for item in kind(cli, {}, "regraft", VARIABLE).get_completions(before, last)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ch"], ["check"]),
        (["rewrite", "m.onnx", "--verif"], ["--verify"]),
        (["rewrite", "m.onnx", "--verify", "e"], ["each"]),
        (["rewrite", "m.onnx", "--pipeline", "fuse-ge"], ["fuse-gelu", "fuse-gemm"]),
        (["rewrite", "m.onnx", "--pipeline", "lower-erf,fuse-gel"], ["lower-erf,fuse-gelu"]),
        (["rewrite", "m.onnx", "--pipeline", "repeat(fuse-gel"], ["repeat(fuse-gelu"]),
        (["rewrite", "m.onnx", "--pipeline", "rep"], ["repeat("]),
        (["rewrite", "m.onnx", "--pipeline", "lower-gelu{"], ["lower-gelu{form="]),
        (["rewrite", "m.onnx", "--pipeline", "lower-erf,lower-gelu{form=t"], ["lower-erf,lower-gelu{form=tanh"]),
        (["check", "m.onnx", "--target", "neuron"], ["neuron-inf1", "neuron-inf2"]),
        (["check", "m.onnx", "--target", "tvm{batch=1,se"], ["tvm{batch=1,sequence="]),
        (["check", "m.onnx", "--target", "./mine.to"], ["./mine.to"]),
        (["import", "m.onnx", "--frontend", "mx"], ["mxnet"]),
        (["why", "m.onnx", "--pass", "fuse-gel"], ["fuse-gelu"]),
        (["bisect", "m.onnx", "--keep", "fuse-gel"], ["fuse-gelu"]),
        (["passes", "fuse-gel"], ["fuse-gelu"]),
        (["prove", "fuse-gel"], ["fuse-gelu"]),
        (["targets", "open"], ["openvino"]),
        (["show", "mod"], ["mod"]),
        (["rewrite", "--load", "nowhere.py", "--pipeline", "fuse-gel"], ["fuse-gelu"]),
    ],
    ids=" ".join,
)
def test_what_is_offered(words, found):
    assert offered(*words) == found


def test_every_name_is_offered(monkeypatch):
    for registry in (passes, targets):
        monkeypatch.setattr(registry, "_added", {})  # those of other tests
    assert offered("passes", "") == passes.names()
    assert offered("targets", "") == targets.names()
    assert offered("") == list(COMMANDS)


@pytest.mark.parametrize(
    "command", [["show", ""], ["rewrite", "m.onnx", "-o", ""], ["check", "m.onnx", "--target", "./"]]
)
def test_models_are_files_that_the_shell_knows(command):
    kind = get_completion_class("bash")
    assert kind
    *before, last = command
    (item,) = kind(cli, {}, "regraft", VARIABLE).get_completions(before, last)
    assert item.type == "file"


def ask(shell: str, words: list[str], code: str = "") -> subprocess.CompletedProcess[str]:
    """Ask for completions as a shell does."""
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": words[-1] if shell == "fish" else str(len(words) - 1)}
    command = [sys.executable, "-c", code or "from regraft.cli import main; main()"]
    return subprocess.run(
        command, env={**os.environ, **asked, VARIABLE: f"{shell}_complete"}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_asked_in_its_own_way(shell):
    done = ask(shell, ["regraft", "check", "m.onnx", "--target", "tv"])
    assert done.stderr == ""
    assert re.findall(r"\w+", done.stdout)[:2] == ["plain", "tvm"]


@pytest.mark.parametrize(
    "words",
    [
        ["rewirte", "x"],
        ["rewrite", "m.onnx", "--pipeline", "nothing{"],
        ["check", "m.onnx", "--target", "nothing{a="],
        ["import", "--list", "x"],
        ["rewrite", "--load", "nowhere.py", "x"],
        ["show", "--no-such-option", "x"],
        ["bench", "--runs", "many", "x"],
    ],
    ids=" ".join,
)
def test_where_nothing_can_be_offered_nothing_is_said(words):
    done = ask("bash", ["regraft", *words])
    assert done.stderr == ""
    assert all(line.startswith(("plain,", "file,", "dir,")) for line in done.stdout.splitlines())


def test_a_bug_says_nothing_either():
    code = "import regraft.cli.completion as c; c._items = None; from regraft.cli import main; main()"
    done = ask("bash", ["regraft", "passes", "fuse"], code)
    assert (done.stdout, done.stderr) == ("", "")


def test_names_import_nothing_heavy():
    code = f"""
import atexit, sys
atexit.register(lambda: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr))
from regraft.cli import main
main()
"""
    for words in (["passes", "fuse"], ["rewrite", "m", "--target", "t"], ["rewrite", "m", "--pipeline", "a,b"], ["s"]):
        assert ask("bash", ["regraft", *words], code).stderr == "[]\n"


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("check m.onnx --target tv", "tvm"),
        ("rewrite m.onnx --pipeline fuse-gelu,lower-ge", "fuse-gelu,lower-gelu fuse-gelu,lower-gemm"),
        ("rewrite m.onnx --pipeline lower-gelu{form = t", "tanh"),
        ("rewrite m.onnx --pipeline lower-gelu{form =", "erf tanh sigmoid"),
        ("nocommand x", ""),
    ],
)
def test_bash_itself(tmp_path: Path, words: str, found: str) -> None:
    """The words are as bash splits them, which takes `=` for a word of its own."""
    (tmp_path / "regraft").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from regraft.cli import main; main()' \"$@\"\n"
    )
    (tmp_path / "regraft").chmod(0o755)
    script = f"""
eval "$({VARIABLE}=bash_source regraft)"
COMP_WORDS=(regraft {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_regraft_completion regraft
echo "${{COMPREPLY[@]}}"
"""
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(shell):
    command = [sys.executable, "-c", "from regraft.cli import main; main()"]
    done = subprocess.run(command, env={**os.environ, VARIABLE: f"{shell}_source"}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "regraft" in done.stdout
    assert f"{shell}_complete" in done.stdout


def test_every_command_completes_its_options():
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command
        assert "--json" in offered(name, "--js")
