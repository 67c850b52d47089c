"""The whole of it: decide what is lowered, and lower it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from regraft.ir.calls import called_functions
from regraft.ir.graph import Tensor
from regraft.ir.model import Model
from regraft.ir.schema import STAND_IN
from regraft.pipelines.pass_ import Context
from regraft.precision import cut
from regraft.precision.convert import convert
from regraft.precision.extent import Limits, unfit
from regraft.precision.policy import Policy
from regraft.precision.unit import Unit
from regraft.precision.units import collect
from regraft.splitting import to_host
from regraft.splitting.move import without_work


@dataclass(frozen=True)
class Decision:
    """The units of a model, all settled, and the values that half precision may not hold, with the reason."""

    units: list[Unit]
    unfit: dict[Tensor, str]


def decide(
    model: Model, limits: Limits, policy: Policy, lower_ends: bool, beyond: Mapping[Tensor, str] | None = None
) -> Decision:
    """Which units compute in half precision.

    Args:
        lower_ends: whether inputs and outputs of the main graph are lowered.
        beyond: values that were seen to be too large.
    """
    policy.check(model)
    units = collect(model, limits.dtype, lower_ends)
    bad = unfit(units, limits)
    policy.settle(units, bad, {tensor: why for tensor, why in (beyond or {}).items() if tensor not in bad})
    cut.settle(units)
    return Decision(units, bad)


def carry_out(model: Model, decision: Decision, limits: Limits, context: Context) -> None:
    """Lower what was decided; inputs that are lowered are cast by the host."""
    lowered = [unit for unit in decision.units if unit.lowered and not unit.border]
    if any(unit.tie == "output" for unit in lowered):
        model.host = model.host or without_work(model)
    refused = [unit.why for unit in decision.units if unit.cannot]
    for why, count in Counter(refused).items():
        context.note(f"kept {count} {'node' if count == 1 else 'nodes'} in 32 bits: {why}")
    inputs = convert(model, decision.units, decision.unfit, limits, context)
    called = called_functions(model)
    model.functions[:] = [f for f in model.functions if f in called or f.domain != STAND_IN]
    if inputs:
        to_host(model, inputs, context)
    values = sum(len(unit.writes) for unit in lowered)
    if values:
        context.changed(f"{values} values in {limits.dtype}")
