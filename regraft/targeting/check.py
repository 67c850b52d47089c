"""What a target does not take of a model, and how much it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from regraft.display import Displayed, Table
from regraft.legality.share import Share, share
from regraft.legality.verdict import Violation
from regraft.pipelines import manager
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.source import opened
from regraft.targeting.target import Target, as_target
from regraft.verification.runtime import Runnable
from regraft.wording import count


@dataclass(frozen=True, repr=False)
class Check(Displayed):
    """What `target` says of a model.

    Attributes:
        violations: what it does not take: of the whole model first, then by operator.
        share: how much it takes.
    """

    target: Target
    violations: tuple[Violation, ...]
    share: Share

    @property
    def legal(self) -> bool:
        """Whether the target takes the model."""
        return not self.violations

    @property
    def limits(self) -> tuple[Violation, ...]:
        """The violations that are not about nodes: the opset, the inputs."""
        return tuple(one for one in self.violations if not one.nodes)

    @property
    def mends(self) -> tuple[str, ...]:
        """The first thing to try against each violation, once each: pipelines as text."""
        return tuple(dict.fromkeys(one.mend[0] for one in self.violations if one.mend))

    @property
    def summary(self) -> str:
        """How much of the model the target takes, in one line."""
        part = self.share
        text = f"{self.target.name} takes {part.taken:,} of {count(part.nodes, 'node')} ({percent(part.of_nodes)})"
        if part.of_macs is not None:
            text += f" and {percent(part.of_macs)} of {count(part.macs, 'multiply-accumulate')}"
        elif part.macs_unknown:
            text += f"; the multiply-accumulates of {part.macs_unknown} depend on open dimensions"
        if part.on_host:
            text += f"; with the {count(part.on_host, 'node')} on the host that is {percent(part.of_all)} of the model"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        part = self.share
        return {
            "target": str(self.target),
            "violations": [asdict(one) for one in self.violations],
            "share": {**asdict(part), "of_nodes": part.of_nodes, "of_macs": part.of_macs, "of_all": part.of_all},
            "mend": list(self.mends),
        }

    def display(self) -> Iterator[str | Table]:
        yield self.summary
        rows = [(one.operator, len(one.nodes) or "", one.reason, " or ".join(one.mend)) for one in self.violations]
        yield Table("what it does not take", rows, ("operator", "nodes", "reason", "try"), (1,))


def check(model: Runnable, target: Target | str) -> Check:
    """What `target` does not take of `model`, by its profile.

    Args:
        model: a Model, which takes the sizes of the target where it has some, a `ModelProto`, or a path.
        target: or its text, such as `tvm{batch=1,sequence=128}`, or `./mine.toml`, a profile.

    Raises:
        PipelineError, UnknownNameError, ProfileError: there is no such target, or it cannot be read.
        PassError: a size that no input has.
    """
    model, target = opened(model), as_target(target)
    if target.sizes:
        manager.run(model, target.passes(model, Pipeline()))
    verdict = target.judge(model)
    return Check(target, tuple(verdict.violations), share(verdict))


def percent(part: float) -> str:
    """Rounded down, so that 100 % means all."""
    return f"{math.floor(part * 1000) / 10:g} %"
