"""`regraft prove`: whether the rules of passes are right, over the reals and for all sizes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regraft.cli.completion import complete_pipeline
from regraft.cli.parameters import as_json, command, load
from regraft.cli.terminal import block

if TYPE_CHECKING:
    from regraft.pipelines.pass_base import Pass
    from regraft.proving.passes import Proof


@command("regraft prove", "regraft prove 'lower-gelu{form=tanh}'", "regraft prove my_passes.py --json")
@click.argument("what", required=False, metavar="[PASS|FILE]", shell_complete=complete_pipeline)
@as_json
@load
@click.pass_context
def prove(ctx: click.Context, what: str | None, as_json: bool) -> None:
    """Prove the rules of a pass, of the passes that a Python file defines, or of all.

    A rule is proved; within a bound, as its pass promises; refused, with inputs for which it is wrong; or out of
    reach. Proofs are over the real numbers, for any rank and any size. Exits with 1 where a rule is refused.
    """
    from regraft.proving.passes import prove_passes

    proofs = prove_passes(rule_passes(what))
    if as_json:
        import json

        block(json.dumps([row(proof) for proof in proofs], indent=2))
    else:
        from regraft.cli.output import table

        rows = [(*cells.values(),) for cells in map(row, proofs)]
        table(((p, r, v, f"{b:.4g}" if b else "", why) for p, r, v, b, why, *_ in rows), COLUMNS, right=[3])
    ctx.exit(1 if any(proof.verdict.outcome == "refused" for proof in proofs) else 0)


COLUMNS = ("pass", "rule", "verdict", "bound", "reason")


def rule_passes(what: str | None) -> list[Pass]:
    """The passes that the argument means: each form of a class, or one with its options."""
    from regraft.errors import PipelineError
    from regraft.pipelines.pass_base import Pass
    from regraft.pipelines.pipeline import Pipeline
    from regraft.pipelines.registry import load_file, passes
    from regraft.proving.passes import forms
    from regraft.rewriting.rule_pass import RulePass

    if what is not None and not what.endswith(".py"):
        known = passes.load(what) if what in passes.names() else Pass
        return [*forms(known)] if issubclass(known, RulePass) else Pipeline.parse(what).passes
    found: list[Any] = load_file(Path(what)) if what else [passes.load(name) for name in passes.names()]
    made = [one for one in found if issubclass(one, RulePass)]
    if not made:
        raise PipelineError(f"{what} defines no pass that is made of rules, which alone are proved and tested")
    return [form for one in made for form in forms(one)]


def row(proof: Proof) -> dict[str, Any]:
    """A proof as data, with the inputs for which a rule is wrong."""
    verdict = proof.verdict
    cells: tuple[Any, ...] = (proof.pass_text, proof.rule, verdict.outcome, verdict.bound, verdict.reason)
    made = dict(zip(COLUMNS, cells, strict=True))
    if (found := verdict.counterexample) is not None:
        inputs = {name: plain(value.tolist()) for name, value in found.inputs.items()}
        results = {"before": plain(found.before.tolist()), "after": plain(found.after.tolist())}
        made["counterexample"] = {"inputs": inputs, **results}
    return made


def plain(value: Any) -> Any:
    """Numbers as JSON has them, which knows no NaN and no infinity."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
