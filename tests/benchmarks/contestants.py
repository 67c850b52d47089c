"""Who reads a model, cleans it and writes it again: each is one function from file to file.

`python -m tests.benchmarks.contestants NAME SOURCE TARGET` runs one. Libraries are imported by the function that needs
them, so that a process holds only what it measures.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

CLEAN_UP = (
    "strip-dropout,eliminate-identity,fold-constants,eliminate-common-subexpressions,"
    "deduplicate-initializers,eliminate-dead-code"
)


def cp(source: str, target: str) -> None:
    """Never called: `cp` is run as the command that it is."""
    shutil.copyfile(source, target)


def onnx_load_save(source: str, target: str) -> None:
    """No clean-up at all: what everybody who holds a ModelProto pays."""
    import onnx

    onnx.save(onnx.load(source), target)


def graphsurgeon(source: str, target: str) -> None:
    import onnx
    import onnx_graphsurgeon as gs

    graph = gs.import_onnx(onnx.load(source))
    onnx.save(gs.export_onnx(graph.cleanup().toposort()), target)


def onnxslim(source: str, target: str) -> None:
    import onnxslim

    onnxslim.slim(source, target)


def onnxsim(source: str, target: str) -> None:
    import onnx
    import onnxsim

    model, _ = onnxsim.simplify(onnx.load(source))
    onnx.save(model, target)


def onnxscript(source: str, target: str) -> None:
    import onnx
    from onnxscript import optimizer

    onnx.save(optimizer.optimize(onnx.load(source)), target)


def onnxruntime(source: str, target: str) -> None:
    """Fusions only: the levels above 0 save and load once more, and need torch."""
    from onnxruntime.transformers.optimizer import optimize_model

    model = optimize_model(source, model_type="bert", num_heads=16, hidden_size=1024, opt_level=0)
    model.save_model_to_file(target)


def regraft_load_save(source: str, target: str) -> None:
    import regraft

    regraft.save(regraft.load(source), target)


def regraft_clean_up(source: str, target: str) -> None:
    import regraft
    from regraft.pipelines import manager

    model = regraft.load(source)
    manager.run(model, CLEAN_UP)
    regraft.save(model, target)


class Contestant(NamedTuple):
    """A name for the table, the package that must be installed, and the work."""

    name: str
    package: str
    work: Callable[[str, str], None]

    def command(self, source: str, target: str) -> list[str]:
        """The command that does the work in a process of its own."""
        if self.work is cp:
            return ["cp", source, target]
        return [sys.executable, "-m", self.work.__module__, self.work.__name__, source, target]

    def version(self) -> str | None:
        """The installed version; "" without a package, None where it is absent."""
        try:
            return metadata.version(self.package) if self.package else ""
        except metadata.PackageNotFoundError:
            return None


CONTESTANTS = (
    Contestant("cp", "", cp),
    Contestant("onnx.load + onnx.save", "onnx", onnx_load_save),
    Contestant("onnx-graphsurgeon: cleanup, toposort", "onnx-graphsurgeon", graphsurgeon),
    Contestant("onnxslim: slim", "onnxslim", onnxslim),
    Contestant("onnxsim: simplify", "onnxsim", onnxsim),
    Contestant("onnxscript: optimizer", "onnxscript", onnxscript),
    Contestant("ONNX Runtime: transformers optimizer, level 0", "onnxruntime", onnxruntime),
    Contestant("regraft: load, save", "regraft", regraft_load_save),
    Contestant("regraft: load, clean up, save", "regraft", regraft_clean_up),
)
REFERENCE = CONTESTANTS[1].name


if __name__ == "__main__":
    _, wanted, *files = sys.argv
    next(c for c in CONTESTANTS if c.work.__name__ == wanted).work(*files)
