"""The base of every target: what a compiler or a runtime takes, and how a model is handed to it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from regraft.errors import PipelineError, TargetError, nearest
from regraft.ir.model import Model
from regraft.legality.profile import SUFFIX, Profile, read_profile
from regraft.legality.verdict import Verdict, Violation, judge
from regraft.pipelines.configurable import Configurable
from regraft.pipelines.grammar import parse_ungrouped, write_pass
from regraft.pipelines.manager import run
from regraft.pipelines.options import Shapes, check_names, option, show_dims
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.registry import targets
from regraft.pipelines.report import Report
from regraft.targeting.process import ResourceLimits
from regraft.verification.contract import Contract
from regraft.verification.size_names import example_sizes, known_sizes

if TYPE_CHECKING:
    from regraft.bundling.golden import Golden


SIZES = "set-shapes"
"""The pass that fixes the sizes of a model."""


@dataclass(frozen=True)
class Place:
    """Where a compiler runs.

    Attributes:
        log: what it prints; with a bundle in the end, and left there when it fails.
        environment: a virtual environment or its Python; None where it is to be found.
        limits: what it may take.
        tolerance: how far what it makes may lie from the original; None leaves that to the target.
    """

    log: Path
    environment: Path | None = None
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    tolerance: Contract | None = None


class Target(Configurable):
    """A compiler or a runtime that a model is made ready for.

    A subclass has a `name`, a docstring whose first line is its help, a `pipeline`, which names its passes as text,
    and options like a pass's; in text `neuron-inf1{batch=8,sequence=128}`. What is no option of its own is a size: of
    an input, `input_ids=8x128`, or of a named dimension.
    """

    pipeline: ClassVar[str] = ""
    sizes: Shapes = option({}, "sizes that the compiled model has, of inputs or of named dimensions")

    def pipeline_for(self, model: Model) -> Pipeline | str:
        """The pipeline, or what of it `model` needs, without the `sizes`."""
        return self.pipeline

    def passes(self, model: Model, pipeline: str | Path | Pipeline | None = None) -> Pipeline:
        """What `prepare` runs: the sizes first, then the target's pipeline, or the one given.

        Where the target takes no local functions, its own pipeline begins and ends without: those of the model are
        written out first, and last what stands for operators that the opset lacks; not those that stand for operators
        of its own.

        Raises:
            PipelineError: a size that is rather an option, misspelt.
        """
        self._check_names(model)
        sizes = {name: show_dims(dims) for name, dims in self.sizes.items()}
        chosen = self.pipeline_for(model) if pipeline is None else pipeline
        rest = chosen if isinstance(chosen, Pipeline) else Pipeline.read(chosen)
        inline = "" if pipeline is not None or self.takes_functions else self._inline()
        return Pipeline(write_pass(SIZES, sizes) if sizes else [], inline if model.functions else [], rest, inline)

    def _check_names(self, model: Model) -> None:
        """Raise PipelineError for a size that nothing in `model` is called like, but rather an option."""
        names, options = known_sizes(model), [one.name for one in self.options() if not one.is_open]
        for name in self.sizes:
            if name not in names and nearest(name, [*names, *options]) in options:
                check_names([name], options, self.name)

    def _inline(self) -> str:
        own = [name for name in self.profile.listed.names if "::" in name] if self.profile.listed else []
        return write_pass("inline-functions", {"keep": own} if own else {})

    def prepare(self, model: Model, **options: Any) -> Report:
        """Run the target's pipeline on `model`; options are those of `regraft.pipelines.manager.run`."""
        return run(model, self.passes(model), **options)

    @cached_property
    def profile(self) -> Profile:
        """What the target takes, from the TOML file beside its class. Raises ProfileError where it cannot be read."""
        return read_profile(self.file.with_suffix(SUFFIX))

    @cached_property
    def takes_functions(self) -> bool:
        """Whether local functions may stay, by the profile; they may where there is none."""
        has_profile = isinstance(type(self).profile, Profile) or self.file.with_suffix(SUFFIX).exists()
        return not has_profile or not self.profile.limits.functions

    def judge(self, model: Model) -> Verdict:
        """Hold the device's graph of `model` against the profile."""
        return judge(model, self.profile)

    def check(self, model: Model) -> list[Violation]:
        """What the target does not take, by its profile; empty where it takes the model."""
        return self.judge(model).violations

    def refusal(self, model: Model, violations: Sequence[Violation]) -> TargetError:
        """The error that `model` is not taken, with the sizes to add where that is because some are open."""
        text = f"{self.name} does not take the result: {violations[0]}"
        if len(violations) > 1:
            text += f" (and {len(violations) - 1} more; see 'regraft check')"
        if lacks_sizes(violations) and (sized := self.with_sizes(model)):
            text += f"; give it sizes, such as --target '{sized}'"
        return TargetError(text)

    def with_sizes(self, model: Model) -> str:
        """This target, as a user writes it, with sizes for what `model` leaves open; empty where nothing is."""
        sizes = {name: show_dims(dims) for name, dims in example_sizes(model).items()}
        return write_pass(self.written, {**self.shown_options(), **sizes}) if sizes else ""

    @property
    def written(self) -> str:
        """How a user names it."""
        return self.name

    @classmethod
    def whereabouts(cls) -> str:
        """Where its compiler is, in a few words; empty where it has none."""
        return ""

    def finish(self, model: Model, folder: Path, golden: Golden, place: Place) -> dict[str, Any]:
        """Add to the bundle that is being written in `folder` what the target makes of its device model.

        Args:
            model: that the bundle holds.
            golden: inputs and outputs of the model before it was rewritten.
            place: where a compiler runs.

        Returns:
            What the manifest says of it, by its key there.

        Raises:
            TargetError: the target does not take the model.
        """
        return {}

    @cached_property
    def file(self) -> Path:
        """Where the target's class is defined; its profile and its drivers lie beside it."""
        return Path(inspect.getfile(type(self))).resolve()


def lacks_sizes(violations: Iterable[Violation]) -> bool:
    """Whether sizes may mend one of the violations."""
    return any(SIZES in one.mend for one in violations)


def read_target(text: str) -> Target:
    """The target of a text such as `tvm`, `tvm{batch=1,sequence=128}`, or `./mine.toml`, a profile.

    Raises:
        PipelineError: the text does not parse, or the target has no such option.
        UnknownNameError: there is no such target.
        ProfileError: the profile cannot be read.
    """
    found = parse_ungrouped(text)
    if len(found) != 1:
        raise PipelineError(f"'{text}' names {len(found)} targets; name one")
    name, options = found[0]
    kind: type[Target] = profile_target(Path(name)) if name.endswith(SUFFIX) else targets.load(name)
    return kind(**options)


def as_target(target: Target | str) -> Target:
    """`target` itself, or the one of a text; see `read_target`."""
    return target if isinstance(target, Target) else read_target(target)


def profile_target(path: Path) -> type[Target]:
    """The target that is its profile alone, the file at `path`; it is called as the file is.

    Raises:
        ProfileError: the file cannot be read, or is no profile.
    """
    profile = read_profile(path)
    body = {
        "name": path.name.removesuffix(SUFFIX),
        "__doc__": profile.description or f"What {path} says.",
        "pipeline": profile.pipeline,
        "profile": profile,
        "file": path.resolve(),
        "written": str(path),
    }
    return type("ProfileTarget", (Target,), body)
