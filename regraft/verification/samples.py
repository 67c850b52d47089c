"""The inputs of every trial, found by running the model until it accepts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from regraft.errors import RegraftError
from regraft.ir.graph import Constant
from regraft.ir.model import Model
from regraft.verification.inputs import InputError, make_inputs
from regraft.verification.signature import Port
from regraft.verification.sizes import Given, Scale
from regraft.verification.trials import LADDER, LONG, SMALL, TRIALS, USUAL, WINDOWS, Trial, cautious
from regraft.wording import count

Run = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Sample:
    """Inputs of a trial, and the model's outputs for them."""

    trial: Trial
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def sample(
    model: Model, run: Run, *, given: Given | None = None, count: int = len(TRIALS), seed: int = 0
) -> list[Sample]:
    """Up to `count` different trials that `model` runs on; the first is the usual one.

    If all inputs are given, there is one. A trial on which the model does not run is made milder; the sizes of the
    first are searched.

    Args:
        run: runs the model.

    Raises:
        InputError: the model runs on none of the generated inputs.
    """
    given = given or Given()
    first = _first(model, run, given, seed)
    found = [first]
    for trial in TRIALS[1:count]:
        if trial is LONG and sum(map(weight, model.sides)) > SMALL:
            continue
        scaled = replace(trial, scale=_scaled(trial, first.trial))
        made = _attempt(model, run, given, seed, cautious(scaled), first.trial)
        if made is not None and not any(_equal(made.inputs, other.inputs) for other in found):
            found.append(made)
    return found


def _first(model: Model, run: Run, given: Given, seed: int) -> Sample:
    """The usual trial, at the first sizes on which the model runs."""
    tried: set[str] = set()
    failure: RegraftError | None = None
    inputs: dict[str, Any] = {}
    scaled = [replace(USUAL, scale=scale) for scale in (*LADDER, *(WINDOWS if _takes_sound(model) else ()))]
    milder = replace(USUAL, indices="first"), replace(USUAL, integers="signed")
    for trial in (scaled[0], *milder, *scaled[1:]):
        try:
            inputs = make_inputs(model, seed=seed, given=given, trial=trial)
        except InputError:
            if failure is None:
                raise
            break
        looks = forms(inputs)
        if looks in tried and trial not in milder:
            continue
        tried.add(looks)
        try:
            return Sample(trial, inputs, run(inputs))
        except RegraftError as error:
            failure = failure or error
    assert failure is not None
    if set(inputs) <= set(given.values):
        raise failure
    raise InputError(
        f"{failure}; the inputs were made, at {count(len(tried), 'size')}: give real ones with --inputs FILE.npz, "
        "or sizes with --inputs NAME=2x16"
    ) from failure


def forms(inputs: Mapping[str, Any]) -> str:
    """Inputs with their shapes, as messages show them."""
    return ", ".join(
        f"{name} {list(value.shape)}" if isinstance(value, np.ndarray) else name for name, value in inputs.items()
    )


def _takes_sound(model: Model) -> bool:
    """Whether an input looks like a window of sound: floats in one row or several, of any length."""
    ports = [Port.of_variable(variable) for variable in model.inputs if variable.default is None]
    return any(
        port.dtype is not None
        and port.dtype.kind == "f"
        and port.shape is not None
        and 0 < len(port.shape) <= 2
        and not isinstance(port.shape[-1], int)
        for port in ports
    )


def weight(model: Model) -> int:
    """Bytes of the constants that nodes of the device read."""
    read = {tensor for node in model.nodes() for tensor in node.inputs if isinstance(tensor, Constant)}
    return sum(tensor.nbytes for tensor in read)


def _scaled(trial: Trial, first: Trial) -> Scale:
    """The sizes of a trial, with those that the first needed."""
    usual, base = USUAL.scale, first.scale
    if base == usual:
        return trial.scale
    return replace(
        base,
        batch=max(1, base.batch + trial.scale.batch - usual.batch) if base.batch == usual.batch else base.batch,
        sequence=base.sequence + max(0, trial.scale.sequence - usual.sequence),
        image=base.image + max(0, trial.scale.image - usual.image),
        apart=trial.scale.apart,
    )


def _attempt(model: Model, run: Run, given: Given, seed: int, trials: Iterable[Trial], first: Trial) -> Sample | None:
    for trial in (*trials, replace(first, name=next(iter(trials), first).name)):
        try:
            inputs = make_inputs(model, seed=seed, given=given, trial=trial)
            return Sample(trial, inputs, run(inputs))
        except RegraftError:  # on to the next: the model may refuse what is unusual
            continue
    return None


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two sets of inputs hold the same arrays; False for sequences and maps."""
    return one.keys() == other.keys() and all(
        isinstance(a, np.ndarray) and isinstance(b := other[name], np.ndarray) and np.array_equal(a, b)
        for name, a in one.items()
    )
