"""A target whose compiler cannot be installed here: a bundle that one command compiles where it can."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

from regraft.bundling.golden import Golden
from regraft.errors import TargetError
from regraft.ir.model import Model
from regraft.legality.share import share
from regraft.targeting.target import Place, Target

PARAMETERS = "handoff.json"
"""What the scripts of a bundle read: the parameters of this model."""

UNWANTED = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")


class OfflineTarget(Target):
    """A target that is handed a bundle with the scripts that call its compiler.

    The scripts lie in folders of `targets/scripts/` and are copied as they are; what they must know of the model stands
    in `handoff.json` beside them.

    Attributes:
        shares: folders of scripts that the target has in common with others, beside its own, which is called as its
            module is.
        command: what to run where the compiler is, in the bundle's folder.
        unchecked: what nobody has seen to work here, a line each.
    """

    shares: ClassVar[tuple[str, ...]] = ("golden",)
    command: ClassVar[str] = ""
    unchecked: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def whereabouts(cls) -> str:
        """That the compiler is elsewhere."""
        return "elsewhere: gets a bundle"

    @property
    def scripts(self) -> list[Path]:
        """The folders whose scripts go into the bundle."""
        return [self.file.parent / "scripts" / name for name in (*self.shares, self.file.stem)]

    def parameters(self, model: Model, folder: Path, golden: Golden) -> dict[str, Any]:
        """What the scripts must know, as plain values; may write more files into `folder`."""
        return {}

    def finish(self, model: Model, folder: Path, golden: Golden, place: Place) -> dict[str, Any]:
        """Add the scripts and their parameters to the bundle in `folder`."""
        if place.tolerance is not None:
            raise TargetError(
                f"--atol and --rtol are for what a compiler makes here, and target '{self.name}' gets a bundle; "
                f"the tolerances are in its {PARAMETERS}"
            )
        before = {path for path in folder.rglob("*") if path.is_file()}
        for scripts in self.scripts:
            shutil.copytree(scripts, folder, dirs_exist_ok=True, ignore=UNWANTED)
        parameters = {"target": str(self), **self.parameters(model, folder, golden)}
        (folder / PARAMETERS).write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
        files = sorted({path for path in folder.rglob("*") if path.is_file()} - before)
        return {
            "handoff": {
                "target": str(self),
                "command": self.command,
                "files": [path.relative_to(folder).as_posix() for path in files],
                "unchecked": list(self.unchecked),
                "legality": self._legality(model),
            }
        }

    def _legality(self, model: Model) -> dict[str, Any]:
        """How much of the device's model the published operators cover, and what they leave out."""
        verdict = self.judge(model)
        part = share(verdict)
        return {
            "source": self.profile.source,
            "nodes": part.nodes,
            "taken": part.taken,
            "share": part.of_nodes,
            "violations": list(map(str, verdict.violations)),
        }
