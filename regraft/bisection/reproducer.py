"""A folder that shows a fault: the model, its inputs, the pipeline, and the one command to run."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from regraft.bisection.checks import AfterPipeline, Check, CommandCheck, CompilerCheck, RefusalCheck
from regraft.bisection.reduce import Reduced
from regraft.errors import ModelError
from regraft.files.destination import check_folder_name
from regraft.files.saving import save
from regraft.files.stream import write_file
from regraft.pipelines.pipeline import Pipeline
from regraft.verification.vectors import save_vectors
from regraft.wording import count

MODEL, AGAINST, INPUTS, PIPELINE, README = "model.onnx", "against.onnx", "inputs.npz", "pipeline.txt", "README.md"


def write_reproducer(found: Reduced, check: Check, folder: Path) -> str:
    """Write what is left of a model into `folder`, which is made; the command that shows the fault, run there.

    Raises:
        ModelError: `folder` is a file, or the disk refuses.
    """
    check_folder_name(folder)
    if folder.exists() and not folder.is_dir():
        raise ModelError(f"{folder} is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    save(found.case.model, folder / MODEL)
    if found.case.base is not None:
        save(found.case.base, folder / AGAINST)
    for number, inputs in enumerate(found.case.samples or (), 1):
        save_vectors(folder / (INPUTS if number == 1 else f"inputs-{number}.npz"), inputs)
    files = _take_pipeline(check.pipeline, folder) if isinstance(check, AfterPipeline) else []
    command = shlex.join(_words(check, found.case.base is not None, files))
    left = f"{found.nodes:,} of {count(found.before, 'node')} are left. In this folder:"
    text = f"# {found.fault.text}\n\n{left}\n\n```sh\n{command}\n```\n"
    write_file(folder / README, text.encode())
    return command


def _take_pipeline(pipeline: Pipeline, folder: Path) -> list[str]:
    """Write the pipeline, and copy the files of its passes that no package has."""
    write_file(folder / PIPELINE, f"{pipeline}\n".encode())
    modules = dict.fromkeys(type(one).__module__ for one in pipeline.passes)
    files = [getattr(sys.modules.get(name), "__file__", None) for name in modules if "." not in name]
    for file in filter(None, files):
        shutil.copy(file, folder)
    return [Path(file).name for file in files if file]


def _words(check: Check, has_base: bool, files: Sequence[str]) -> list[str]:
    """The command."""
    if isinstance(check, AfterPipeline):
        loads = [word for file in files for word in ("--load", file)]
        return ["regraft", "bisect", MODEL, "--pipeline", PIPELINE, *loads, *_rest(check.check)]
    if isinstance(check, CommandCheck):
        return check.words(MODEL, INPUTS)
    if isinstance(check, RefusalCheck):
        return ["regraft", "check", MODEL, "--target", str(check.target)]
    if isinstance(check, CompilerCheck):
        said = ["--target", str(check.target), "--pipeline", "", "--no-check", "--inputs", INPUTS]
        return ["regraft", "compile", MODEL, "-o", "compiled", *said]
    return ["regraft", "verify", MODEL, AGAINST if has_base else MODEL, "--inputs", INPUTS]


def _rest(check: Check) -> list[str]:
    """The options of `regraft bisect` that stand for a check."""
    if isinstance(check, CommandCheck):
        return ["--check", check.command]
    if isinstance(check, RefusalCheck | CompilerCheck):
        compiles = ["--compile"] if isinstance(check, CompilerCheck) else []
        return ["--target", str(check.target), *compiles]
    return ["--inputs", INPUTS]
