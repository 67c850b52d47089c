"""How an operator's schema changed from opset to opset, read from the installed onnx."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from onnx import defs, helper

from regraft.ir.schema import find
from regraft.ir.schema import history as schemas

OLDEST = 6
"""The oldest opset that is read."""
LOWEST = 9
"""The oldest opset that is written."""
NEWEST = int(defs.onnx_opset_version())

_Parameter = defs.OpSchema.FormalParameter
_Option = defs.OpSchema.FormalParameterOption


@functools.cache
def next_change(op: str, version: int, target: int) -> int | None:
    """The opset that brought the first change that `op` meets on its way; None where it meets none."""
    changes = [s.since_version for s in schemas(op)]
    if version <= target:
        return min((c for c in changes if version < c <= target), default=None)
    return max((c for c in changes if target < c <= version), default=None)


@dataclass(frozen=True)
class Change:
    """The change of an operator that came with an opset.

    Attributes:
        old, new: its schemas before and after; no old one where the operator came with it.
        breaks: why a node of the old form is no node of the new; empty where it is one.
        added: the attributes that are new, with their defaults.
        widens, narrows: whether a parameter may have types in the new form that it may not in the old, and the reverse.
    """

    old: defs.OpSchema | None
    new: defs.OpSchema
    breaks: tuple[str, ...]
    added: dict[str, Any]
    widens: bool = False
    narrows: bool = False

    def unexpressed(self, attrs: dict[str, Any], inputs: int, outputs: int) -> str | None:
        """What a node of the new form uses that the old form lacks; None where it uses nothing new."""
        if self.old is None:
            return f"{self.new.name} came with opset {self.new.since_version}"
        for name, default in self.added.items():
            if name in attrs and not same(attrs[name], default):
                return f"attribute {name} came with opset {self.new.since_version}"
        for kind, count, known in (("input", inputs, self.old.max_input), ("output", outputs, self.old.max_output)):
            if count > known:
                return f"{kind} {known} came with opset {self.new.since_version}"
        return None


@functools.cache
def change(op: str, opset: int) -> Change:
    """The change of `op` that came with `opset`."""
    new, old = find(op, opset), find(op, opset - 1)
    assert new is not None
    if old is None:
        return Change(None, new, (), {})
    added = {name: _default(a) for name, a in new.attributes.items() if name not in old.attributes}
    pairs = [*zip(old.inputs, new.inputs, strict=False), *zip(old.outputs, new.outputs, strict=False)]
    return Change(
        old,
        new,
        tuple(_breaks(old, new)),
        added,
        widens=any(set(n.types) - set(o.types) for o, n in pairs),
        narrows=any(set(o.types) - set(n.types) for o, n in pairs),
    )


def _breaks(old: defs.OpSchema, new: defs.OpSchema) -> list[str]:
    if new.deprecated:
        return ["it is deprecated"]
    found = []
    for name, attribute in old.attributes.items():
        if name not in new.attributes:
            found.append(f"attribute {name} is gone")
        elif _default(attribute) != _default(new.attributes[name]):
            found.append(f"attribute {name} has another default")
    found += [f"attribute {n} is required" for n, a in new.attributes.items() if a.required and n not in old.attributes]
    found += _moved("input", list(old.inputs), list(new.inputs))
    found += _moved("output", list(old.outputs), list(new.outputs))
    return found


def _moved(kind: str, old: list[_Parameter], new: list[_Parameter]) -> list[str]:
    """The parameters that the old form has in another place than the new, or that the new asks for."""
    found = []
    for i, parameter in enumerate(new):
        if i >= len(old):
            if kind == "input" and parameter.option == _Option.Single:
                found.append(f"{kind} {parameter.name} is required")
        elif parameter.option != old[i].option and parameter.option == _Option.Single:
            found.append(f"{kind} {parameter.name} is required")
    return found + [f"{kind} {p.name} is gone" for p in old[len(new) :]]


def _default(attribute: defs.OpSchema.Attribute) -> Any:
    value = attribute.default_value
    return helper.get_attribute_value(value) if value.type else None


def defaults(op: str, opset: int) -> dict[str, Any]:
    """The attributes of `op` that have a default, and it."""
    schema = find(op, opset)
    found = {name: _default(a) for name, a in schema.attributes.items()} if schema else {}
    return {n: v.decode() if isinstance(v, bytes) else v for n, v in found.items() if v is not None}


def same(value: Any, default: Any) -> bool:
    """Whether an attribute's value is what `default` says."""
    if isinstance(default, bytes):
        default = default.decode()
    return bool(value == default)
