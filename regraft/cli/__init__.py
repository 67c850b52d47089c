"""The command line: one command a file, imported when the user runs it.

A command's module imports only click; the function imports the rest when it runs, so that `regraft --help` is quick.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import keyword
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from regraft.cli.completion import VARIABLE
from regraft.cli.parameters import debug
from regraft.cli.terminal import block, echo
from regraft.errors import RegraftError, UnknownNameError
from regraft.interrupt import ENDED, MESSAGE, Ended, interruptible

COMMANDS = (
    "rewrite",
    "check",
    "legalize",
    "compile",
    "import",
    "run",
    "verify",
    "bisect",
    "reduce",
    "diff",
    "show",
    "log",
    "blame",
    "bench",
    "serve",
    "pack-lengths",
    "load-test",
    "export-triton",
    "report",
    "why",
    "prove",
    "test",
    "new-pass",
    "precision-plan",
    "passes",
    "targets",
    "demo",
)
"""In the order of `regraft --help`."""

TROUBLE, BROKEN_PIPE = 2, 141


@dataclass
class State:
    """What `--debug` and `--json` say, in any position."""

    debug: bool = False
    json: bool = False


class Commands(click.Group):
    """A group that imports its commands late and prints every error in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; `help rewrite` is `rewrite --help`."""
        return super().parse_args(ctx, [*args[1:2], "--help"] if args[:1] == ["help"] else args)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = name.replace("-", "_") + "_" * keyword.iskeyword(name)
        return getattr(importlib.import_module(f"regraft.cli.{module}"), module)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(str(UnknownNameError("command", args[0], COMMANDS)), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _close_output()
            ctx.exit(BROKEN_PIPE)
        return result

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        words = sys.argv[1:] if args is None else args
        state = State(json="--json" in words)
        try:
            with interruptible():
                status = super().main(args, prog_name, complete_var, False, obj=state, **extra)
        except (Ended, click.Abort, KeyboardInterrupt) as error:
            echo(MESSAGE, err=True)
            status = error.code if isinstance(error, Ended) else ENDED + signal.SIGINT
        except Exception as error:
            if VARIABLE in os.environ:  # a tab that finds nothing says nothing
                sys.exit(TROUBLE)
            if state.debug:
                traceback.print_exc()
            echo(f"regraft: error: {_line(error)}", err=True)
            if state.json:
                echo(json.dumps({"error": _described(error)}))
            status = TROUBLE
        sys.exit(status if isinstance(status, int) else 0)


def _line(error: Exception) -> str:
    """The message of `error`, in one line."""
    if isinstance(error, click.UsageError) and error.ctx:
        return f"{_one_line(error.format_message())} (see '{error.ctx.command_path} --help')"
    if isinstance(error, click.ClickException):
        return _one_line(error.format_message())
    if isinstance(error, RegraftError):
        return _one_line(str(error))
    return f"unexpected {type(error).__name__}: {_one_line(str(error))} (run again with --debug to see where)"


def _described(error: Exception) -> dict[str, object]:
    """An error as data: its kind, its line, and the passes that may help."""
    needs = [str(one) for one in error.needs] if isinstance(error, RegraftError) else []
    return {"kind": type(error).__name__, "message": _line(error), "needs": needs}


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _close_output() -> None:
    """Discard Python's last flush: the reader of the pipe is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nExample:\n  regraft rewrite model.onnx -o better.onnx --verify final",
)
@click.version_option(package_name="regraft", message="regraft %(version)s")
@debug
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Rewrite ONNX graphs for the compiler that refuses them, prove the result equal, show what changed."""
    if ctx.invoked_subcommand is None:
        block(ctx.get_help())


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    atexit.register(gc.freeze)  # what is left then goes with the process, and is not walked to find cycles in it
    cli(prog_name="regraft")
