"""What the columns of the matrix are: who rewrites a file before a compiler gets it.

`python -m tests.acceptance.contestants NAME SOURCE TARGET [SHAPES]` runs one of the other tools, in a process of its
own, as some crash. Shapes are JSON, by input.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import regraft
from regraft.errors import RegraftError
from regraft.files.saving import save
from regraft.ir.model import Model
from regraft.targeting.compiler import Compiler

Shapes = dict[str, list[int]]
ROOT = Path(__file__).parents[2]
SECONDS = 300
"""That a tool may take."""


class Refused(Exception):
    """A tool that does not give a model; the text says why."""


class Prepared(NamedTuple):
    """What a compiler gets.

    Attributes:
        file: that it compiles.
        pipeline: that made it; empty for other tools.
        model: rewritten by regraft, with what moved to the host; None for other tools.
    """

    file: Path
    pipeline: str = ""
    model: Model | None = None


def onnxsim(source: str, target: str, shapes: Shapes) -> None:
    import onnx
    import onnxsim

    model, _ = onnxsim.simplify(source, overwrite_input_shapes=shapes or None)
    onnx.save(model, target)


def onnxslim(source: str, target: str, shapes: Shapes) -> None:
    import onnxslim

    sizes = [f"{name}:{','.join(map(str, shape))}" for name, shape in shapes.items()]
    onnxslim.slim(source, target, input_shapes=sizes or None)


def onnxruntime(source: str, target: str, shapes: Shapes) -> None:
    """Its basic optimisations, offline: what they write is still ONNX."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    for argument in onnxruntime.InferenceSession(source).get_inputs() if shapes else ():
        for dim, size in zip(argument.shape, shapes[argument.name], strict=True):
            if isinstance(dim, str):
                options.add_free_dimension_override_by_name(dim, size)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = target
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


class Contestant(NamedTuple):
    """A tool.

    Attributes:
        name: the heading of its column.
        package: that must be installed.
        work: from file to file; None for the raw file, and for regraft, which knows the compiler.
    """

    name: str
    package: str = ""
    work: Callable[[str, str, Shapes], None] | None = None

    def version(self) -> str:
        """The installed version; Refused where there is none."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            raise Refused(f"{self.package} is not installed") from None

    def prepare(self, source: Path, shapes: Shapes, compiler: Compiler, folder: Path) -> Prepared:
        """Rewrite the file at `source`, for inputs of `shapes` if there are any, into `folder`.

        What other tools write is kept there, and their refusals too.

        Raises:
            Refused: the tool gives no model.
        """
        if self is RAW:
            return Prepared(source)
        if self is REGRAFT:
            return regrafted(source, shapes, compiler, folder)
        sized = "-sized" if shapes else ""
        target = folder / f"{source.stem}{sized}-{self.name.replace(' ', '-')}-{self.version()}.onnx"
        refusal = target.with_suffix(".refusal")
        if not target.exists() and not refusal.exists() and (text := self._run(source, target, shapes)):
            target.unlink(missing_ok=True)
            refusal.write_text(text)
        if refusal.exists():
            raise Refused(refusal.read_text())
        return Prepared(target)

    def _run(self, source: Path, target: Path, shapes: Shapes) -> str:
        """Why it did not work; empty where it did."""
        assert self.work
        command = [sys.executable, "-m", __name__, self.work.__name__, str(source), str(target), json.dumps(shapes)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=ROOT)
        except subprocess.TimeoutExpired:
            return f"{self.name} takes more than {SECONDS} s"
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return f"{self.name}: {lines[-1]}" if done.returncode else ""


def regrafted(source: Path, shapes: Shapes, compiler: Compiler, folder: Path) -> Prepared:
    """What the pipeline of the compiler's target makes of the file."""
    sizes = {name: "x".join(map(str, shape)) for name, shape in shapes.items()}
    target = type(compiler)(**compiler.shown_options(), **sizes)
    try:
        model = regraft.load(source)
        pipeline = str(target.passes(model))
        target.prepare(model)
        file = save(model.device, folder / f"{source.stem}-{compiler.name}.onnx")
    except RegraftError as error:
        raise Refused(f"regraft: {error}") from error
    return Prepared(file, pipeline, model)


RAW, REGRAFT = Contestant("raw"), Contestant("regraft")
CONTESTANTS = (
    RAW,
    Contestant("onnxsim", "onnxsim", onnxsim),
    Contestant("onnxslim", "onnxslim", onnxslim),
    Contestant("ONNX Runtime", "onnxruntime", onnxruntime),
    REGRAFT,
)


if __name__ == "__main__":
    _, wanted, source, target, shapes = sys.argv
    next(c.work for c in CONTESTANTS if c.work and c.work.__name__ == wanted)(source, target, json.loads(shapes))
