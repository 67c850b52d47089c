"""`regraft new-pass`: a pass to begin with, and its test."""

from __future__ import annotations

import re
from pathlib import Path

import click

from regraft.cli.parameters import PATH, as_json, command
from regraft.cli.terminal import block, echo

PASS = '''"""The pass {name}."""

from regraft import Rule, RulePass, op, reassociation


class {title}(RulePass):
    """Recognise HardSwish where it is written out: say here what your pass does."""

    name = "{name}"
    contract = reassociation  # the same function, rounded otherwise; `exact` for the same values

    def rules(self):
        return [
            Rule(
                lambda x: x * op.Clip(x + 3.0, 0.0, 6.0) / 6.0,
                lambda x: op.HardSwish(x),
                name="clip",
            ),
        ]
'''

TEST = '''"""Tests of the pass {name}."""

from regraft.testing import apply, check_rules, parse

from {module} import {title}

WRITTEN_OUT = """
g (float[n, 4] x) => (float[n, 4] y)
<float three = {{3}}, float zero = {{0}}, float six = {{6}}>
{{ a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, b) y = Div(c, six) }}
"""


def test_every_rule_is_right():
    check_rules({title}())


def test_it_is_found():
    assert apply(parse(WRITTEN_OUT), {title}()).ops == ["HardSwish"]


def test_another_bound_stays():
    assert "HardSwish" not in apply(parse(WRITTEN_OUT.replace("{{6}}", "{{5}}")), {title}()).ops
'''


@command("regraft new-pass fuse-my-swish", "regraft new-pass fuse-my-swish -o passes")
@click.argument("name")
@click.option("-o", "--output", type=PATH, default=Path(), metavar="FOLDER", help="Where to.  [default: this folder]")
@as_json
def new_pass(name: str, output: Path, as_json: bool) -> None:
    """Write a pass called NAME and its test, both of which work: a beginning. No file is overwritten."""
    module = _module(name)
    title = "".join(part.capitalize() for part in name.split("-"))
    texts = {
        output / f"{module}.py": PASS.format(name=name, title=title),
        output / f"test_{module}.py": TEST.format(name=name, title=title, module=module),
    }
    _write(texts)
    made, test = texts
    if as_json:
        import json

        block(json.dumps({"pass": str(made), "test": str(test)}, indent=2))
        return
    echo(f"{made}: the pass")
    echo(f"{test}: its test, for pytest")
    echo()
    echo(f"regraft test {made}", dim=True)
    echo(f"regraft rewrite model.onnx -o better.onnx --load {made} --pipeline {name}", dim=True)


def _module(name: str) -> str:
    """The module of a pass. Raises UsageError for a name that no pass, or no module, can have."""
    import keyword
    import sys

    from regraft.pipelines.registry import passes

    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise click.UsageError(f"'{name}' is no name of a pass: lower-case words with hyphens, as fuse-my-swish")
    if name in passes.names():
        raise click.UsageError(f"there is a pass '{name}' already: {passes.origin(name)}")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in ("regraft", "numpy", "onnx"):
        raise click.UsageError(f"'{module}' is a word of Python's, or another module; give the pass a longer name")
    return module


def _write(texts: dict[Path, str]) -> None:
    """Write files that are not there yet. Raises PipelineError where one is, or cannot be written."""
    from regraft.errors import PipelineError

    if there := [path for path in texts if path.exists()]:
        raise PipelineError(f"{there[0]} is there already, and is not overwritten")
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise PipelineError(f"cannot write {path}: {error.strerror}") from error
