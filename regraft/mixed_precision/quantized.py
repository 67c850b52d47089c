"""Nodes that a runtime computes in few bits: a Cast would part them from the DequantizeLinear or the QuantizeLinear."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.ir import schema
from regraft.ir.graph import Tensor
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.precision_groups import is_constant
from regraft.mixed_precision.sizes import HANDING_ON, WEIGHTED


def find_quantized(units: Sequence[PrecisionGroup]) -> dict[PrecisionGroup, str]:
    """The units that stay as they are for that, with the reason."""
    found = _between(units)
    made: set[Tensor] = set()
    why = "reads what DequantizeLinear makes, which has no half precision in this opset"
    for unit in units:
        reads = any(slot.tensor in made for slot in unit.reads)
        if (unit.cannot and _kind(unit) == "DequantizeLinear") or (reads and _kind(unit) in HANDING_ON):
            made.update(unit.writes)
        if reads and _kind(unit) in WEIGHTED:
            found.setdefault(unit, why)
    return found


def _between(units: Sequence[PrecisionGroup]) -> dict[PrecisionGroup, str]:
    """What reads nothing but dequantized values, and is read by nothing but what quantizes."""
    readers: dict[Tensor, list[PrecisionGroup]] = {}
    made: set[Tensor] = set()
    behind: list[PrecisionGroup] = []
    for unit in units:
        for slot in unit.reads:
            readers.setdefault(slot.tensor, []).append(unit)
        given = [slot.tensor for slot in unit.reads if not is_constant(slot.tensor)]
        if _kind(unit) == "DequantizeLinear":
            made.update(unit.writes)
        elif _kind(unit) not in ("", "QuantizeLinear") and given and made.issuperset(given):
            made.update(unit.writes)
            behind.append(unit)
    found: dict[PrecisionGroup, str] = {}
    for unit in reversed(behind):
        after = [reader for tensor in unit.writes for reader in readers.get(tensor, ())]
        if after and all(reader in found or _kind(reader) == "QuantizeLinear" for reader in after):
            found[unit] = "computed in few bits, between DequantizeLinear and QuantizeLinear"
    return found


def _kind(unit: PrecisionGroup) -> str:
    """The operator; empty for a tie."""
    return schema.kind(unit.node) if unit.node is not None else ""
