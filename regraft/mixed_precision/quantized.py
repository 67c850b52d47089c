"""Nodes that a runtime computes in few bits: a Cast would part them from the DequantizeLinear or the QuantizeLinear."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.ir import schema
from regraft.ir.graph import Tensor
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.precision_groups import is_constant
from regraft.mixed_precision.sizes import FORWARDING, WEIGHTED


def find_quantized(groups: Sequence[PrecisionGroup]) -> dict[PrecisionGroup, str]:
    """The groups that stay as they are for that, with the reason."""
    found = _between(groups)
    made: set[Tensor] = set()
    why = "reads what DequantizeLinear makes, which has no half precision in this opset"
    for group in groups:
        reads = any(slot.tensor in made for slot in group.reads)
        if (group.cannot and _kind(group) == "DequantizeLinear") or (reads and _kind(group) in FORWARDING):
            made.update(group.writes)
        if reads and _kind(group) in WEIGHTED:
            found.setdefault(group, why)
    return found


def _between(groups: Sequence[PrecisionGroup]) -> dict[PrecisionGroup, str]:
    """What reads nothing but dequantized values, and is read by nothing but what quantizes."""
    readers: dict[Tensor, list[PrecisionGroup]] = {}
    made: set[Tensor] = set()
    behind: list[PrecisionGroup] = []
    for group in groups:
        for slot in group.reads:
            readers.setdefault(slot.tensor, []).append(group)
        given = [slot.tensor for slot in group.reads if not is_constant(slot.tensor)]
        if _kind(group) == "DequantizeLinear":
            made.update(group.writes)
        elif _kind(group) not in ("", "QuantizeLinear") and given and made.issuperset(given):
            made.update(group.writes)
            behind.append(group)
    found: dict[PrecisionGroup, str] = {}
    for group in reversed(behind):
        after = [reader for tensor in group.writes for reader in readers.get(tensor, ())]
        if after and all(reader in found or _kind(reader) == "QuantizeLinear" for reader in after):
            found[group] = "computed in few bits, between DequantizeLinear and QuantizeLinear"
    return found


def _kind(group: PrecisionGroup) -> str:
    """The operator; empty for a tie."""
    return schema.kind(group.node) if group.node is not None else ""
