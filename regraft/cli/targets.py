"""`regraft targets`: list the targets, or describe one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click

from regraft.cli.parameters import command, load
from regraft.cli.terminal import block, echo

if TYPE_CHECKING:
    from regraft.legality.profile import Profile
    from regraft.targeting.target import Target

FEW = 2


@command("regraft targets", "regraft targets openvino")
@click.argument("name", required=False)
@load
def targets(name: str | None) -> None:
    """List the targets and where their compilers are, or describe the target NAME: its options and its pipeline."""
    from regraft.cli.output import table
    from regraft.pipelines.registry import targets

    if name is not None:
        _describe(targets.load(name))
        return
    found = [targets.load(known) for known in targets.names()]
    table((one.name, one.help(), one.whereabouts()) for one in found)


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

    listed = profile.listed
    rows = [("operators", f"{len(listed.names)} listed" if listed else "any of ONNX's, but for these gaps")]
    rows += [(key.replace("_", "-"), line.reason) for key, lines in vars(profile.limits).items() for line in lines]
    rows += [(_few(gap.operator), gap.reason) for gap in profile.gap]
    table(rows)
    echo(f"as stated by: {profile.source}")


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= FEW else f"{', '.join(names[:FEW])}, {len(names) - FEW} more"
