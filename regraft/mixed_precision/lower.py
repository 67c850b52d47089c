"""The whole of it: decide what is lowered, and lower it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from regraft.ir.calls import called_functions
from regraft.ir.graph import Tensor
from regraft.ir.model import Model
from regraft.ir.schema import STAND_IN
from regraft.mixed_precision import cut
from regraft.mixed_precision.convert import convert
from regraft.mixed_precision.digits import find_exact
from regraft.mixed_precision.losses import find_lost, vanishes
from regraft.mixed_precision.overflow import Constants, FloatLimits
from regraft.mixed_precision.policy import Policy, is_product
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.precision_groups import AS_ASKED, collect, is_constant
from regraft.mixed_precision.quantized import find_quantized
from regraft.mixed_precision.sizes import Sizes, find_raw
from regraft.mixed_precision.sums import find_sums
from regraft.pipelines.pass_base import Context
from regraft.refusal import Refusal
from regraft.splitting import to_host
from regraft.splitting.offload import without_work
from regraft.wording import count


@dataclass(frozen=True)
class Decision:
    """The groups of a model, all settled, and the values that half precision may not hold, with the reason."""

    groups: list[PrecisionGroup]
    unfit: dict[Tensor, str]


@dataclass(frozen=True)
class Findings:
    """What the graph and its constants say.

    Attributes:
        unfit: values that half precision may not hold, with the reason.
        exact: groups that would lose too much, with the reason.
    """

    unfit: dict[Tensor, str]
    exact: dict[PrecisionGroup, str]


def examine(groups: Sequence[PrecisionGroup], limits: FloatLimits, fits: Collection[Tensor] = ()) -> Findings:
    """Look at all values and constants.

    Args:
        fits: values that were seen to fit in half precision.
    """
    sizes = Sizes(groups, limits, Constants(limits), fits)
    tensors = dict.fromkeys(t for group in groups for t in (*(slot.tensor for slot in group.reads), *group.writes))
    unfit = {tensor: large.why for tensor in tensors if (large := sizes[tensor].large)}
    unfit |= {t: why for t in tensors if is_constant(t) and t not in unfit and (why := vanishes(t, sizes))}
    exact = find_exact(groups, sizes) | find_lost(groups, sizes) | find_sums(groups) | find_quantized(groups)
    return Findings(unfit, find_raw(groups, sizes) | exact)


def decide(
    model: Model,
    limits: FloatLimits,
    policy: Policy,
    lower_ends: bool,
    beyond: Mapping[Tensor, str] | None = None,
    fits: Collection[Tensor] = (),
) -> Decision:
    """Which groups compute in half precision.

    Args:
        lower_ends: whether inputs and outputs of the main graph are lowered.
        beyond: values that were seen to be too large.
        fits: values that were seen not to be.
    """
    policy.check(model)
    groups = collect(model, limits.dtype, lower_ends)
    findings = examine(groups, limits, fits)
    bad = findings.unfit
    policy.settle(groups, findings.exact, bad, {t: why for t, why in (beyond or {}).items() if t not in bad})
    cut.settle(groups)
    return Decision(groups, bad)


def carry_out(model: Model, decision: Decision, limits: FloatLimits, context: Context) -> None:
    """Lower what was decided; inputs that are lowered are cast by the host."""
    lowered = [group for group in decision.groups if group.lowered and not group.boundary]
    if any(group.tie == "output" for group in lowered):
        model.host = model.host or without_work(model)
    refused = [group.why for group in decision.groups if group.cannot]
    for why, kept in Counter(refused).items():
        context.refuse(Refusal(why, heading=f"kept {count(kept, 'node')} in 32 bits"))
    for group in decision.groups:
        if group.tie == "input" and group.why != AS_ASKED:
            context.refuse(Refusal(group.why, heading=f"input '{group.writes[0].name}' stays in 32 bits"))
    products = [group for group in decision.groups if is_product(group) and not group.cannot]
    for why, kept in Counter(group.why for group in products if not group.lowered).items():
        context.refuse(Refusal(why, heading=f"kept {kept} of {count(len(products), 'product')} in 32 bits"))
    inputs = convert(model, decision.groups, decision.unfit, limits, context)
    called = called_functions(model)
    model.functions[:] = [f for f in model.functions if f in called or f.domain != STAND_IN]
    if inputs:
        to_host(model, inputs, context)
    values = sum(len(group.writes) for group in lowered)
    if values:
        context.changed(f"{count(values, 'value')} in {limits.dtype}")
