"""`regraft passes`: list the passes, or describe one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal

import click

from regraft.cli.completion import complete_passes
from regraft.cli.parameters import as_json, command, load
from regraft.cli.terminal import block, echo

if TYPE_CHECKING:
    from regraft.pipelines.configurable import Configurable
    from regraft.pipelines.pass_base import Pass
    from regraft.proving.passes import Proof


@command("regraft passes", "regraft passes lower-gelu --json", "regraft passes my-pass --load my_passes.py")
@click.argument("name", required=False, shell_complete=complete_passes)
@as_json
@load
def passes(name: str | None, as_json: bool) -> None:
    """List the passes, or describe the pass NAME: what it does, its options, what it promises, what is proved of it."""
    from regraft.pipelines.registry import passes

    if as_json:
        import json

        found = _row(passes.load(name)) if name else [_brief(passes.load(known)) for known in passes.names()]
        block(json.dumps(found, indent=2))
        return
    if name is not None:
        _describe(passes.load(name))
        return
    from regraft.cli.output import table

    table((known, passes.load(known).help()) for known in passes.names())


def _brief(found: type[Pass]) -> dict[str, Any]:
    return {"pass": found.name, "help": found.help()}


def _row(found: type[Pass]) -> dict[str, Any]:
    """The description of a pass as data."""
    from regraft.cli.prove import row

    return {
        **_brief(found),
        "options": [dict(zip(("option", "default", "help"), map(str, each), strict=True)) for each in options(found)],
        "removes": _operators(found, "removes"),
        "introduces": _operators(found, "introduces"),
        "contract": _contract(found),
        "proofs": None if (proofs := _proofs(found)) is None else [row(proof) for proof in proofs],
    }


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
    proofs = _proofs(found)
    if proofs != []:
        title("proofs")
        table([(p.pass_text, p.rule, _badge(p)) for p in proofs] if proofs else [("depend on the options",)])
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


def _proofs(found: type[Pass]) -> list[Proof] | None:
    """The verdicts on the rules of a pass in all its forms, of which there are none where it has no rules.

    None where they depend on an option that has no default.
    """
    from regraft.proving.passes import forms, prove_passes
    from regraft.rewriting.rule_pass import RulePass

    if not issubclass(found, RulePass):
        return []
    if any(option.required and not option.choices for option in found.options()):
        return None
    return prove_passes(forms(found))


def _badge(proof: Proof) -> str:
    """A verdict in a line."""
    verdict = proof.verdict
    if verdict.outcome == "within":
        return f"within {verdict.bound:.4g} of the {proof.promised:.4g} that the contract allows"
    return f"{verdict.outcome}: {verdict.reason}" if verdict.reason else verdict.outcome
