"""Arguments and options that commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import click

from regraft.cli.completion import complete_frontends, complete_pipeline, complete_target
from regraft.cli.terminal import echo

if TYPE_CHECKING:
    from regraft.ir.model import Model
    from regraft.pipelines.options import Dims
    from regraft.verification.inputs import Given

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)

LOADED = "regraft.loaded"
"""The key under which a command's context has the files that `--load` names."""


def command(*examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command; its help ends with `examples`, and it takes `--debug`."""
    lines = "\n".join(f"  {example}" for example in examples)
    title = "Example" if len(examples) == 1 else "Examples"

    def make(function: Callable[..., Any]) -> click.Command:
        return click.command(epilog=f"\b\n{title}:\n{lines}")(debug(function))

    return make


def _debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and ctx.obj is not None:
        ctx.obj.debug = True


def _load(ctx: click.Context, parameter: click.Parameter, value: tuple[Path, ...]) -> None:
    if value and not ctx.resilient_parsing:  # a tab runs nothing
        from regraft.pipelines.registry import load_file

        for path in value:
            load_file(path)
        ctx.meta[LOADED] = value


def pipeline_option(help: str) -> Callable[[F], F]:
    """The text of a pipeline, or its file."""
    return click.option("--pipeline", metavar="TEXT|FILE", shell_complete=complete_pipeline, help=help)


def model_argument(name: str = "model") -> Callable[[F], F]:
    """The path of a model: an ONNX file, a bundle, or a source that a frontend reads."""
    return click.argument(name, type=PATH)


class SourceOptions(NamedTuple):
    """What `source_options` give."""

    frontend: str | None = None
    shape: tuple[str, ...] = ()
    more: Mapping[str, Any] = {}

    def open(self, path: Path, opset: int | None = None, *, weights: bool = True) -> Model:
        """The model at `path`."""
        from regraft.pipelines.frontend import ImportOptions
        from regraft.pipelines.source import open_source

        return open_source(path, self.frontend, ImportOptions(_shapes(self.shape), opset, **self.more, weights=weights))


def source_options(function: F) -> F:
    """How a model of another framework is read; gives `source`, a SourceOptions."""

    @functools.wraps(function)
    def call(*arguments: Any, frontend: str | None, shape: tuple[str, ...], **rest: Any) -> Any:
        more = {name: rest.pop(name) for name in _MORE}
        return function(*arguments, source=SourceOptions(frontend, shape, more), **rest)

    decorated = cast(F, call)
    for option in (*reversed(_MORE.values()), _shape, _frontend):
        decorated = option(decorated)
    return decorated


def _shapes(texts: tuple[str, ...]) -> Mapping[str, Dims]:
    from regraft.pipelines.options import Shapes, kind_of

    pairs = dict(text.rpartition("=")[::2] for text in texts)
    if bad := next((text for text in texts if not text.rpartition("=")[0]), None):
        raise click.UsageError(f"--shape '{bad}' is not NAME=SHAPE, as in input=8x64")
    try:
        shapes: Mapping[str, Dims] = kind_of(Shapes).read(pairs)
    except ValueError as error:
        raise click.UsageError(f"--shape: {error}") from error
    return shapes


_frontend = click.option(
    "--frontend",
    metavar="NAME",
    shell_complete=complete_frontends,
    help="What reads the model.  [default: recognised; see 'regraft import --list']",
)
_shape = click.option(
    "--shape",
    metavar="NAME=SHAPE",
    multiple=True,
    help="The shape of an input, NAME=8x64 or NAME=batchx64. Of an ONNX file also a size, batch=8 or sequence=64,"
    " as in the pass set-shapes.  [repeatable]",
)
_MORE = {
    "task": click.option("--task", metavar="NAME", help="What the model is for.  [default: as the source states]"),
    "style": click.option(
        "--style",
        type=click.Choice(["faithful", "accelerator"]),
        help="As the source has it, or with an explicit mask and positions.  [default: faithful]",
    ),
    "exporter": click.option(
        "--exporter", type=click.Choice(["dynamo", "torchscript"]), help="Which exporter of torch.  [default: dynamo]"
    ),
    "attention": click.option(
        "--attention", type=click.Choice(["eager", "sdpa"]), help="The form of attention.  [default: the framework's]"
    ),
    "trust": click.option("--trust", is_flag=True, help="Let code of the source run: a pickle, a compiled bundle."),
    "signature": click.option(
        "--signature", metavar="NAME", help="The signature of a SavedModel.  [default: serving_default]"
    ),
    "tag": click.option("--tag", metavar="TAG,...", help="The tags of a SavedModel's graph.  [default: serve]"),
    "drop_unused_inputs": click.option(
        "--drop-unused-inputs", is_flag=True, help="Leave out inputs that nothing reads."
    ),
}
"""Options of frontends, each a field of ImportOptions."""


debug = click.option(
    "--debug", is_flag=True, expose_value=False, is_eager=True, callback=_debug, help="Show the traceback of an error."
)
load = click.option(
    "--load",
    type=PATH,
    metavar="FILE.py",
    multiple=True,
    expose_value=False,
    is_eager=True,
    callback=_load,
    help="Load the passes and targets that a Python file defines.  [repeatable]",
)
seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of generated inputs."
)
trials = click.option(
    "--trials",
    type=click.IntRange(1, 7),
    default=7,
    show_default=True,
    help="Sets of inputs to run on, of different sizes and kinds; 1 is the usual one.",
)
inputs = click.option(
    "--inputs",
    metavar="FILE|NAME=SHAPE",
    multiple=True,
    help="Inputs to run on: a .npz, .npy or .json file, NAME=FILE.npy, or a shape to generate, NAME=8x128."
    "  [default: made from what each input means; repeatable]",
)
_environment = click.option(
    "--compiler-env",
    "environment",
    type=PATH,
    metavar="PATH",
    help="The virtual environment, or its Python, that has the compiler."
    "  [default: .compilers/NAME, or the one that runs regraft]",
)
_time_limit = click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=1800.0,
    show_default=True,
    help="Seconds that the compiler may take for one step.",
)
_memory_limit = click.option(
    "--memory-limit", metavar="BYTES", default="16GiB", show_default=True, help="Memory that the compiler may use."
)


def target_option(required: bool = False) -> Callable[[F], F]:
    """The text of a target with its options."""
    return click.option(
        "--target",
        metavar="NAME{OPTION=...}",
        required=required,
        shell_complete=complete_target,
        help="The target; see 'regraft targets'.",
    )


def compiler_options(function: F) -> F:
    """Where a compiler is, and its limits; gives `environment`, a path or None, and `limits`, a ResourceLimits."""

    @functools.wraps(function)
    def call(*arguments: Any, time_limit: float, memory_limit: str, **rest: Any) -> Any:
        from regraft.targeting.process import ResourceLimits

        memory = _bytes("--memory-limit", memory_limit)
        return function(*arguments, limits=ResourceLimits(time_limit, memory), **rest)

    decorated = cast(F, call)
    for option in (_memory_limit, _time_limit, _environment):
        decorated = option(decorated)
    return decorated


class HtmlOptions(NamedTuple):
    """What `html_options` give: where the page goes, if one is wanted, and what it reads of weights."""

    path: Path | None
    limit: int


_html = click.option("--html", type=PATH, metavar="FILE", help="Write a page for the browser, which needs no server.")
_statistics = click.option(
    "--statistics",
    metavar="BYTES",
    default="128MiB",
    show_default=True,
    help="With --html: the largest weight whose statistics are computed.",
)


def html_options(function: F) -> F:
    """Whether a page is written, and how; gives `html`, an HtmlOptions."""

    @functools.wraps(function)
    def call(*arguments: Any, html: Path | None, statistics: str, **rest: Any) -> Any:
        return function(*arguments, html=HtmlOptions(html, _bytes("--statistics", statistics)), **rest)

    return cast(F, _html(_statistics(call)))


def _bytes(name: str, text: str) -> int:
    """The number of bytes that an option says."""
    from regraft.pipelines.options import Bytes, kind_of

    try:
        number: Bytes = kind_of(Bytes).read(text)
    except ValueError as error:
        raise click.UsageError(f"{name}: {error}") from error
    return number


trust = click.option(
    "--trust",
    is_flag=True,
    help="Run the compiled model: native code from the author of the bundle.  [default: the model]",
)
force = click.option("--force", is_flag=True, help="Replace the bundle of another target, too.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def say_missing(*models: Model) -> None:
    """Say which files of weights are not there."""
    from regraft.inspection.census import missing

    for line in dict.fromkeys(line for model in models for line in missing(model)):
        echo(line, err=True)


def given(model: Model, texts: tuple[str, ...]) -> Given:
    """What the values of `--inputs` say."""
    from regraft.verification.inputs import read_given

    return read_given(texts, model)


def arrays(model: Model, texts: tuple[str, ...], seed: int) -> dict[str, Any]:
    """The inputs that `--inputs` and `--seed` stand for, by name."""
    from regraft.verification.inputs import make_inputs

    return make_inputs(model, seed=seed, given=given(model, texts))
