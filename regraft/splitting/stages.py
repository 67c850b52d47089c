"""A model as a chain of stage models, cut where its marks say, and the chain run in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from regraft.files.convert import clone
from regraft.ir.gc_pause import paused
from regraft.ir.model import Model
from regraft.shapes import declare_types
from regraft.splitting.cut import Cutter
from regraft.splitting.stage_labels import ORDER, homes, names_of
from regraft.splitting.subgraph import keep
from regraft.verification.runtime import RuntimeFailure, Session


@dataclass(frozen=True)
class Stage:
    """A part of a split model, a model of its own.

    Attributes:
        name: of the marks: "embeddings", "layer.0", "layer.0.attention", "head".
        model: its inputs and outputs have the names that these values have in the whole. Weights are shared with the
            whole, and read when they are needed.
        sources: for each input, by name, the earlier stage that makes it; None for an input of the whole.
        readers: for each output, by name, the later stages that read it.
        results: those of its outputs that are outputs of the whole.
    """

    name: str
    model: Model
    sources: dict[str, str | None]
    readers: dict[str, tuple[str, ...]]
    results: tuple[str, ...]


@paused()
def stages(model: Model) -> list[Stage]:
    """The stages of `model`, each after those that it reads from. If the model has a host, those of the device.

    A node that depends on constants only is in every stage that reads it; a dead node is in none.

    Raises:
        PassError: the model has no marks, or one that is none of its stages.
        GraphError: the type of a value between two stages is not known.
    """
    names = names_of(model)
    whole = clone(model.device)
    del whole.metadata[ORDER]
    keep(whole, whole.graph.outputs)
    declare_types(whole)
    cutter = Cutter(whole, homes(whole.graph, names))
    return [_stage(cutter, number, names) for number in cutter.numbers]


def _stage(cutter: Cutter, number: int, names: list[str]) -> Stage:
    piece = cutter.piece(number, names[number])
    return Stage(
        names[number],
        piece,
        {t.name: None if (home := cutter.home(t.name)) is None else names[home] for t in piece.graph.inputs},
        {t.name: tuple(names[later] for later in cutter.later(t.name)) for t in piece.graph.outputs},
        tuple(t.name for t in piece.graph.outputs if t.name in cutter.results),
    )


class Step(NamedTuple):
    """A stage that ran: its inputs and outputs, by name."""

    stage: Stage
    given: dict[str, Any]
    made: dict[str, Any]


def steps(chain: Iterable[Stage], inputs: Mapping[str, Any]) -> Iterator[Step]:
    """Run the stages one after the other, each with its weights in memory only while it runs.

    Args:
        inputs: those of the whole, by name; of a model with a host, the device's.

    Raises:
        RuntimeFailure: an input is missing, or a stage does not run.
    """
    values = dict(inputs)
    for stage in chain:
        given = {name: values[name] for name in stage.sources if name in values}
        try:
            made = Session(stage.model).run(given)
        except RuntimeFailure as error:
            raise RuntimeFailure(f"stage '{stage.name}': {error}") from error
        made = {name: _own(value) for name, value in made.items()}
        values |= made
        yield Step(stage, given, made)


def _own(value: Any) -> Any:
    """A copy: as long as an array of ONNX Runtime lives, so does all memory that its session took."""
    return value.copy() if isinstance(value, np.ndarray) else value


def run_chain(chain: Iterable[Stage], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Run the chain on `inputs`. Returns the outputs of the whole, by name. Raises as `steps` does."""
    return {name: step.made[name] for step in steps(chain, inputs) for name in step.stage.results}
