"""`regraft passes`: list the passes, or describe one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Literal

import click

from regraft.cli.parameters import command, load
from regraft.cli.terminal import block, echo

if TYPE_CHECKING:
    from regraft.pipelines.configurable import Configurable
    from regraft.pipelines.pass_base import Pass


@command("regraft passes", "regraft passes fold-constants", "regraft passes my-pass --load my_passes.py")
@click.argument("name", required=False)
@load
def passes(name: str | None) -> None:
    """List the passes, or describe the pass NAME: what it does, its options, what it promises."""
    from regraft.pipelines.registry import passes

    if name is not None:
        _describe(passes.load(name))
        return
    from regraft.cli.output import table

    table((known, passes.load(known).help()) for known in passes.names())


def _describe(found: type[Pass]) -> None:
    from regraft.cli.output import table, title
    from regraft.pipelines.grammar import write_pass

    echo(found.name, bold=True)
    block(inspect.cleandoc(found.__doc__ or ""))
    if found.options():
        title("options")
        table(options(found), ("", "default", ""))
    title("operators")
    table((name, _operators(found, name)) for name in ("removes", "introduces"))
    title("contract")
    echo(_contract(found))
    title("in a pipeline")
    given = {o.name: o.show(o.default) for o in found.options() if not o.is_open and not o.required}
    echo(write_pass(found.name, given))


def options(found: type[Configurable]) -> list[tuple[str, object, str]]:
    """The rows of a table of options."""
    return [
        (
            o.type if o.is_open else f"{o.name}={o.type}",
            "required" if o.required else "" if o.default in ((), {}) else o.default_text,
            o.help,
        )
        for o in found.options()
    ]


def _operators(found: type[Pass], which: Literal["removes", "introduces"]) -> str:
    """The operators that the pass removes and introduces, with the defaults of its options."""
    from regraft.pipelines.pass_base import EVERY

    declared = inspect.getattr_static(found, which)
    if isinstance(declared, property) and any(option.required for option in found.options()):
        return "depends on the options"
    named = declared if isinstance(declared, frozenset) else getattr(found(), which)
    return "any" if named == EVERY else ", ".join(sorted(named)) or "none"


def _contract(found: type[Pass]) -> str:
    from regraft.verification.contract import Contract

    declared = inspect.getattr_static(found, "contract")
    if isinstance(declared, Contract):
        return f"{declared}: {declared.meaning}"
    if any(option.required for option in found.options()):
        return "depends on the options"
    contract = found().contract
    return f"{contract}: {contract.meaning}; with other options another"
