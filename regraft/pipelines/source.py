"""Open a model of any source framework: the frontend is recognised from what the source is."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import onnx

from regraft.errors import ModelError
from regraft.files.convert import from_proto
from regraft.ir.model import Model
from regraft.opset.plan import apply, plan
from regraft.outside import cannot_read
from regraft.pipelines.frontend import Frontend, FrontendError, ImportOptions
from regraft.pipelines.grammar import write_pass
from regraft.pipelines.manager import run
from regraft.pipelines.options import check_names, show_dims
from regraft.pipelines.registry import frontends
from regraft.verification.runtime import Runnable
from regraft.wording import count

_SHOWN = 5


def open_source(
    source: str | os.PathLike[str], frontend: str | None = None, options: ImportOptions | None = None
) -> Model:
    """The model at `source`, a file or a folder of any framework that a frontend reads.

    Args:
        frontend: the name of the frontend; recognised where it is not given.
        options: how to read it. Shapes that the frontend does not take are set by the pass `set-shapes`.

    Raises:
        ModelError: nothing is there, or it is broken.
        FrontendError: no frontend knows the source, or several do; an option that it does not take; its framework
            is not installed.
        PassError: a shape does not fit the model.
    """
    path, options = Path(source), options or ImportOptions()
    try:
        os.stat(path)
    except (OSError, ValueError) as problem:
        raise cannot_read(path, problem) from problem
    chosen = frontends.load(frontend)() if frontend is not None else _recognise(path)
    check_names(
        options.given(), {*chosen.options, "opset", "shapes"}, f"{path}: frontend '{chosen.name}'", FrontendError
    )
    shapes = {} if "shapes" in chosen.options else options.shapes
    model = _read(chosen, path, replace(options, shapes={}) if shapes else options)
    if shapes:
        run(model, write_pass("set-shapes", {name: show_dims(dims) for name, dims in shapes.items()}))
    if options.opset is not None:
        apply(model, plan(model, options.opset))
    return model


def opened(model: Runnable) -> Model:
    """`model` itself, or what it stands for: a `ModelProto`, or the path of a model of any framework."""
    if isinstance(model, Model):
        return model
    return from_proto(model) if isinstance(model, onnx.ModelProto) else open_source(model)


def _recognise(path: Path) -> Frontend:
    known = [frontends.load(name)() for name in frontends.names()]
    try:
        found = [frontend for frontend in known if frontend.accepts(path)]
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(frontend.name for frontend in found)
        raise FrontendError(f"{path} looks like a model for the frontends {names}; say which by --frontend")
    formats = "; ".join(f"{frontend.name}: {frontend.formats}" for frontend in known)
    raise FrontendError(f"{path} is {_what(path)}, which no frontend knows. What there is: {formats or 'no frontend'}")


def _what(path: Path) -> str:
    """What is at `path`, in a few words."""
    if path.is_file():
        return f"a file of {count(path.stat().st_size, 'byte')}" if path.stat().st_size else "an empty file"
    entries = sorted(os.listdir(path))
    shown = ", ".join(itertools.islice(entries, _SHOWN)) + (", ..." if len(entries) > _SHOWN else "")
    return f"a folder with {shown}" if entries else "an empty folder"


def _read(frontend: Frontend, path: Path, options: ImportOptions) -> Model:
    try:
        return frontend.read(path, options)
    except ModuleNotFoundError as error:
        if not frontend.extra:
            raise
        raise FrontendError(
            f"frontend '{frontend.name}' needs {error.name}, which is not installed: "
            f"pip install 'regraft[{frontend.extra}]'"
        ) from error
