"""The plan file: a row for each value with its range, its precision and the reason, to be read and edited."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from regraft.errors import PassError
from regraft.files.stream import write_file
from regraft.ir.graph import Tensor
from regraft.ir.model import Model
from regraft.mixed_precision import cut
from regraft.mixed_precision.lower import Decision, decide, examine
from regraft.mixed_precision.observe import Range, observe
from regraft.mixed_precision.overflow import FloatLimits
from regraft.mixed_precision.policy import Mode, make_policy
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.precision_groups import collect
from regraft.outside import parse_toml, read_text
from regraft.shapes import declare_types

Named = tuple[Tensor, PrecisionGroup]

_SINGLE = "float32"
_HEAD = """\
# Which values {pass_name}{{plan=...}} computes in {half}; made by `regraft precision-plan`.
# A row may be edited: its precision is "{half}" or "float32". Values that one node makes go together.
# low, high: the smallest and the largest finite element seen; least: the smallest magnitude but zero.
"""


@dataclass(frozen=True)
class Row:
    """One value.

    Attributes:
        precision: "float32", or the half precision.
        seen: its range; None for what is inside a body or a function, which is not observed.
    """

    name: str
    op: str
    precision: str
    why: str
    seen: Range | None = None


def name_values(groups: Iterable[PrecisionGroup]) -> dict[str, Named]:
    """The values that a plan has rows for: all that nodes and bodies make. A name in two bodies gets a number."""
    named: dict[str, Named] = {}
    for group in groups:
        if group.boundary or group.tie == "input":
            continue
        for tensor in group.writes:
            name, number = tensor.name, 1
            while name in named:
                number += 1
                name = f"{tensor.name}#{number}"
            named[name] = tensor, group
    return named


def make(
    model: Model,
    samples: Sequence[Mapping[str, Any]],
    *,
    dtype: str = "float16",
    mode: Mode = "full",
    margin: float = 4.0,
) -> list[Row]:
    """Run `model` on `samples`, and decide for each value.

    Args:
        dtype: the half precision, "float16" or "bfloat16".
        margin: how many times larger than in the samples a value may become.

    Raises:
        RuntimeFailure: the model does not run on a sample.
    """
    declare_types(model)
    limits = FloatLimits(np.dtype(getattr(ml_dtypes, dtype, dtype)))
    groups = collect(model, limits.dtype)
    inside = {tensor for node in model.graph.nodes for tensor in node.outputs}
    tensors = [tensor for tensor, _ in name_values(groups).values() if tensor in inside]
    ranges = observe(model, [tensor.name for tensor in tensors], samples)
    seen = {tensor: ranges[tensor.name] for tensor in tensors}
    fits = {tensor for tensor, range in seen.items() if _fits(range, limits, margin)}
    policy = make_policy(model, mode, (), ())
    decision = decide(model, limits, policy, False, _beyond(seen, limits, margin), fits)
    return [_row(name, tensor, group, seen, dtype) for name, (tensor, group) in name_values(decision.groups).items()]


def _row(name: str, tensor: Tensor, group: PrecisionGroup, seen: Mapping[Tensor, Range], half: str) -> Row:
    op = group.node.op if group.node is not None else "body"
    return Row(name, op, half if group.lowered else _SINGLE, group.why, seen.get(tensor))


def _fits(range: Range, limits: FloatLimits, margin: float) -> bool:
    return not range.nan and not range.inf and range.size * margin <= limits.largest


def _beyond(seen: Mapping[Tensor, Range], limits: FloatLimits, margin: float) -> dict[Tensor, str]:
    """The values that were seen to come within `margin` of what half precision can hold, with the reason."""
    found = {}
    for tensor, range in seen.items():
        if range.size * margin > limits.largest:
            found[tensor] = f"reached {range.size:.3g}"
        elif 0 < range.size < limits.smallest:
            found[tensor] = f"was at most {range.size:.2g}, which would vanish"
    return found


def write(path: str | os.PathLike[str], rows: Sequence[Row], half: str, pass_name: str) -> None:
    """Write the plan as TOML.

    Raises:
        ModelError: the disk refuses.
    """
    lines = [_HEAD.format(half=half, pass_name=pass_name), f"dtype = {_text(half)}", "values = ["]
    lines += [f"  {{{', '.join(f'{key} = {text}' for key, text in _fields(row).items())}}}," for row in rows]
    write_file(Path(path), "\n".join([*lines, "]", ""]).encode())


def _fields(row: Row) -> dict[str, str]:
    fields = {"name": _text(row.name), "precision": _text(row.precision)}
    if row.seen is not None:
        fields |= {key: f"{getattr(row.seen, key):.6g}" for key in ("low", "high", "least")}
        fields |= {key: "true" for key in ("nan", "inf") if getattr(row.seen, key)}
    numbers = {key: text + ".0" if text.lstrip("-").isdigit() else text for key, text in fields.items()}
    return {**numbers, "op": _text(row.op), "why": _text(row.why)}


def _text(text: str) -> str:
    """A basic string of TOML: as JSON writes it, but that no character is escaped as two."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def read(path: str | os.PathLike[str], model: Model, limits: FloatLimits, lower_ends: bool) -> Decision:
    """What the plan at `path` decides for `model`.

    Raises:
        PassError: the file is no plan, or one for another model or dtype, or asks for what cannot be.
    """
    half = str(limits.dtype)
    given = _load(path, half)
    groups = collect(model, limits.dtype, lower_ends)
    named = name_values(groups)
    for name in (*named, *given):
        if name not in given or name not in named:
            what = "has no row for" if name in named else "names"
            rest = "" if name in named else ", which this model does not have"
            raise PassError(f"{path} was made for another model: it {what} '{name}'{rest}; make the plan anew")
    bad = _unfit(groups, named, given, limits)
    followed: dict[PrecisionGroup, str] = {}
    for name, (_, group) in named.items():
        lowered = given[name]["precision"] == half
        first = followed.setdefault(group, name)
        if lowered and group.lowered is False and first == name:
            raise PassError(f"{path}: '{name}' cannot be {half}: {group.why}")
        if lowered != group.lowered and first != name:
            raise PassError(f"{path}: '{first}' and '{name}' must have one precision: they are made together")
        group.settle(lowered, "the plan")
        group.clips = lowered
    cut.settle(groups)
    return Decision(groups, bad)


def _unfit(
    groups: Sequence[PrecisionGroup],
    named: Mapping[str, Named],
    given: Mapping[str, Mapping[str, Any]],
    limits: FloatLimits,
) -> dict[Tensor, str]:
    """What must be clipped: what the graph says, and what was seen."""
    sizes = {t: max(-row["low"], row["high"]) for n, (t, _) in named.items() if "low" in (row := given[n])}
    found = examine(groups, limits, {tensor for tensor, size in sizes.items() if size <= limits.largest}).unfit
    return found | {t: "was seen to be too large" for t, size in sizes.items() if size > limits.largest}


def _load(path: str | os.PathLike[str], half: str) -> dict[str, dict[str, Any]]:
    """The rows of the file, by name."""
    content = parse_toml(read_text(path, PassError), f"{path} is no plan", PassError)
    if content.get("dtype") != half:
        raise PassError(f"{path} is no plan for {half}: its dtype is {content.get('dtype')!r}")
    found: dict[str, dict[str, Any]] = {}
    rows = content.get("values")
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows
    ):
        raise PassError(f"{path} is no plan: it has no list 'values' of rows with names")
    for row in rows:
        name, precision = row["name"], row.get("precision")
        if not all(isinstance(row.get(key, 0.0), int | float) for key in ("low", "high")):
            raise PassError(f"{path}: low and high of '{name}' must be numbers")
        if precision not in (half, _SINGLE):
            raise PassError(f'{path}: the precision of \'{name}\' is {precision!r}; write "{half}" or "{_SINGLE}"')
        found[name] = row
    return found
