"""Verification of a pipeline while it runs.

The outputs after a pass are the outputs before the next one, so a model runs once for each pass that changed it.
Where a pass changes the inputs so that the old ones no longer fit, the model from before it runs again on new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from regraft.errors import VerificationError
from regraft.files.convert import clone
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.ir.schema import RANDOM
from regraft.verification.contract import Contract, exact
from regraft.verification.drift import Drift
from regraft.verification.inputs import Given, make_inputs
from regraft.verification.runtime import Session
from regraft.verification.verify import coarsest_float, snapshot

Arrays = dict[str, Any]


class Watch:
    """Compares a model with what it was when it was last looked at.

    Args:
        model: the model before any pass.
        inputs: what to run it on, or what is given of it; the rest is made from what each input means.
        seed: of the made inputs.

    Attributes:
        unstable: outputs that hang on chance, which are not compared.
    """

    def __init__(self, model: Model, inputs: Mapping[str, Any] | Given | None = None, seed: int = 0):
        given = inputs if isinstance(inputs, Given) else Given(values=inputs or {})
        self._given = frozenset(given.values)
        self._seed = seed
        self._inputs = make_inputs(model, seed=seed, given=given)
        self.expect(model)
        self._kept: Model | None = None

    def expect(self, model: Model) -> None:
        """Hold what comes against `model`."""
        self.unstable = _unstable(model, self._inputs) if any(map(_draws, model.nodes())) else ()
        self._outputs = self._run(model)

    def keep(self, model: Model) -> None:
        """Keep `model` as it is: what comes changes the interface."""
        self._kept = clone(model)

    def look(self, model: Model, contract: Contract) -> Drift:
        """The drift since the last look. Raises VerificationError when given inputs no longer fit the model."""
        if self._kept is not None:
            self._follow(self._kept, model)
        outputs = self._run(model)
        drift = contract.check(self._outputs, outputs, computed_in=coarsest_float(model))
        self._outputs, self._kept = outputs, None
        return drift

    def _follow(self, old: Model, new: Model) -> None:
        """Find inputs for both: the ones of before, where they fit; those that `new` has gained are made."""
        made = make_inputs(new, seed=self._seed)
        misfits = [name for name in made if name in self._inputs and not _fits(new, name, self._inputs[name])]
        if misfits:
            if given := self._given.intersection(misfits):
                raise VerificationError(f"the given input '{min(given)}' no longer fits the model; give one that does")
            self._inputs = make_inputs(old, seed=self._seed, given=Given(values=_for(old, made)))
            self._outputs = self._run(old)
        self._inputs = made | self._inputs

    def _run(self, model: Model) -> Arrays:
        outputs = snapshot(model, _for(model, self._inputs))
        return {name: value for name, value in outputs.items() if name not in self.unstable}


def _draws(node: Node) -> bool:
    """Whether what a node gives may hang on chance."""
    return not node.domain and node.op in RANDOM


def _unstable(model: Model, inputs: Arrays) -> tuple[str, ...]:
    """The outputs that two runs of one session give differently."""
    session = Session(model)
    drift = exact.check(session.run(inputs), session.run(inputs))
    return tuple(output.name for output in drift.failures)


def _for(model: Model, inputs: Arrays) -> Arrays:
    return {tensor.name: inputs[tensor.name] for tensor in model.inputs if tensor.name in inputs}


def _fits(model: Model, name: str, value: Any) -> bool:
    """Whether `value` has the dtype and the fixed dimensions of an input."""
    tensor = next(tensor for tensor in model.inputs if tensor.name == name)
    if not isinstance(value, np.ndarray) or tensor.shape is None:
        return True
    fixed = zip(tensor.shape, value.shape, strict=False)
    same_rank = len(tensor.shape) == value.ndim
    return same_rank and value.dtype == tensor.dtype and all(not isinstance(d, int) or d == n for d, n in fixed)
