from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time

import click
import pytest

from regraft.cli import COMMANDS, cli
from regraft.errors import RegraftError
from regraft.interrupt import MESSAGE, interruptible
from tests.shares import diagonal

HEAVY = ("onnx", "numpy", "onnxruntime", "onnx_graphsurgeon", "rich", "transformers")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", diagonal(3, [["--help"], *([command, "--help"] for command in COMMANDS)]))
def test_help_imports_nothing_heavy(arguments):
    code = f"""
import sys
import time
from regraft.cli import cli
try:
    cli({arguments!r})
except SystemExit as end:
    assert not end.code
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    assert python(code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"  regraft {command}" in result.stdout.partition("Example")[2]


def test_help_lists_every_command(run):
    assert run().stdout == run("--help").stdout
    listed = run("--help").stdout.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("  ")][: len(COMMANDS)] == list(COMMANDS)


def test_help_is_a_word_too(run):
    assert run("help").stdout == run("--help").stdout
    assert run("help", "rewrite").stdout == run("rewrite", "--help").stdout
    assert "did you mean 'rewrite'" in run("help", "rewirte").stderr


def test_version(run):
    assert run("--version").stdout.startswith("regraft ")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["rewirte"], "no command named 'rewirte'; did you mean 'rewrite'?"),
        (["show", "x.onnx", "--grpah"], "--graph"),
        (["rewrite", "x.onnx"], "--output"),
        (["rewrite", "x.onnx", "-o", "y.onnx", "--verify", "eech"], "'each'"),
        (["bench", "a.onnx", "b.onnx", "--runs", "0"], "--runs"),
        (["show"], "MODEL"),
    ],
)
def test_wrong_usage_is_one_line_with_a_hint(run, arguments, hint):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("regraft: error: ")
    assert result.stderr.count("\n") == 1
    assert hint in result.stderr
    assert "--help'" in result.stderr


def fail_with(monkeypatch, error):
    def fails():
        raise error

    monkeypatch.setattr("regraft.cli.targets.targets", click.command()(fails_with_debug(fails)))


def fails_with_debug(function):
    from regraft.cli.parameters import debug

    return debug(function)


@pytest.mark.parametrize("arguments", [["targets"], ["--debug", "targets"], ["targets", "--debug"]])
def test_a_bug_is_one_line_unless_debugged(run, monkeypatch, arguments):
    fail_with(monkeypatch, KeyError("some\nthing"))
    result = run(*arguments)
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert last.startswith("regraft: error: unexpected KeyError: ")
    assert "--debug" in last
    assert ("Traceback" in result.stderr) == ("--debug" in arguments)
    assert "--debug" in arguments or result.stderr.count("\n") == 1


def test_an_error_of_the_user_has_a_traceback_only_when_debugged(run, monkeypatch):
    fail_with(monkeypatch, RegraftError("two\nlines"))
    assert run("targets").stderr == "regraft: error: two lines\n"
    assert "Traceback" in run("targets", "--debug").stderr


def test_an_interrupt_exits_with_130(run, monkeypatch):
    fail_with(monkeypatch, KeyboardInterrupt())
    result = run("targets")
    assert (result.exit_code, result.stderr.strip()) == (130, "regraft: interrupted")


def test_a_closed_pipe_is_quiet(model):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from regraft.cli import main; main()", "show", str(model), "--graph"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 141


def test_without_standalone_mode_errors_are_raised():
    with pytest.raises(click.UsageError):
        cli(["no-such-command"], standalone_mode=False)


def test_an_interrupt_is_one_line_from_the_first_line_on():
    """Whenever it comes, there is no traceback of ours; what Python says before it runs the command is its own."""
    begin = "import regraft_command; print('begun', flush=True); regraft_command.main()"
    for delay in (0.0, 0.01, 0.03, 0.05, 0.08, 0.12, 0.16, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-c", begin, "targets"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        assert "Traceback" not in errors
        assert (process.returncode, errors.lstrip("\n")) in ((130, f"{MESSAGE}\n"), (0, ""), (-signal.SIGINT, ""))


def test_an_interrupt_waits_for_the_end_of_an_import(tmp_path, monkeypatch):
    """C++ that is being loaded would abort on an exception."""
    (tmp_path / "interrupted_as_it_loads.py").write_text(
        "import signal\nsignal.raise_signal(signal.SIGINT)\nimport time\ntime.sleep(0.05)\nloaded = True\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        _import_and_wait("interrupted_as_it_loads")
    assert sys.modules["interrupted_as_it_loads"].loaded
    assert signal.getsignal(signal.SIGINT) is before


def _import_and_wait(module):
    importlib.import_module(module)
    time.sleep(1)


def test_the_first_handler_says_what_the_command_line_says(capfd, monkeypatch):
    monkeypatch.setattr(os, "_exit", lambda code: code)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        import regraft_command

        regraft_command._stop(2, None)
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert capfd.readouterr().err == f"{MESSAGE}\n"
