"""`regraft targets`: list the targets, or describe one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from regraft.cli.completion import complete_target_names
from regraft.cli.parameters import as_json, command, load
from regraft.cli.terminal import block, echo

if TYPE_CHECKING:
    from regraft.legality.profile import Profile
    from regraft.targeting.target import Target

FEW = 2


@command("regraft targets", "regraft targets openvino", "regraft targets --json | jq -r '.[].target'")
@click.argument("name", required=False, shell_complete=complete_target_names)
@as_json
@load
def targets(name: str | None, as_json: bool) -> None:
    """List the targets and where their compilers are, or describe the target NAME: its options and its pipeline."""
    from regraft.cli.output import document, table
    from regraft.pipelines.registry import targets

    if name is not None:
        if as_json:
            document(_row(targets.load(name)))
        else:
            _describe(targets.load(name))
        return
    found = [targets.load(known) for known in targets.names()]
    if as_json:
        document([_brief(one) for one in found])
        return
    table((one.name, one.help(), one.whereabouts()) for one in found)


def _brief(found: type[Target]) -> dict[str, Any]:
    return {"target": found.name, "help": found.help(), "where": found.whereabouts()}


def _row(found: type[Target]) -> dict[str, Any]:
    """The description of a target as data."""
    from regraft.cli.passes import options
    from regraft.legality.tables import ProfileError

    try:
        takes: list[Any] = _taken(found().profile)
    except ProfileError:
        takes = []
    return {
        **_brief(found),
        "options": [dict(zip(("option", "default", "help"), map(str, each), strict=True)) for each in options(found)],
        "pipeline": found.pipeline,
        "takes": [dict(zip(("what", "says"), each, strict=True)) for each in takes],
        "unchecked": [*getattr(found, "unchecked", ())],
    }


def _describe(found: type[Target]) -> None:
    from regraft.cli.output import table, title
    from regraft.cli.passes import options
    from regraft.legality.tables import ProfileError
    from regraft.targeting.compiler import Compiler
    from regraft.targeting.offline_target import OfflineTarget

    echo(found.name, bold=True)
    block(inspect.cleandoc(found.__doc__ or ""))
    title("options")
    table(options(found), ("", "default", ""))
    title("pipeline")
    echo(found.pipeline)
    title("what it takes")
    try:
        _take(found().profile)
    except ProfileError as error:
        echo(error)
    if issubclass(found, Compiler):
        title("compiler")
        echo(f"{found.package} {found.versions}, {found.whereabouts()}; to get it: {found.install}")
        echo(f"what it makes may differ from the original by: {found.contract.meaning}")
    if issubclass(found, OfflineTarget):
        title("where the compiler is, in the bundle's folder")
        echo(found.command)
        title("not checked here")
        for line in found.unchecked:
            echo(f"- {line}")


def _take(profile: Profile) -> None:
    from regraft.cli.output import table

    table(_taken(profile))
    echo(f"as stated by: {profile.source}")


def _taken(profile: Profile) -> list[tuple[str, str]]:
    """What a target takes, and what it does not, by its profile."""
    listed = profile.listed
    rows = [("operators", f"{len(listed.names)} listed" if listed else "any of ONNX's, but for these gaps")]
    rows += [(key.replace("_", "-"), line.reason) for key, lines in vars(profile.limits).items() for line in lines]
    return [*rows, *((_few(gap.operator), gap.reason) for gap in profile.gap)]


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= FEW else f"{', '.join(names[:FEW])}, {len(names) - FEW} more"
