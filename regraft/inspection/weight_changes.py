"""Which constants of two models differ, and how far; each stands once, however many nodes read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from regraft.files.wire import LARGE
from regraft.inspection import contents
from regraft.inspection.align import Alignment
from regraft.inspection.census import constants
from regraft.inspection.distance import distance
from regraft.inspection.fingerprint import held
from regraft.inspection.listing import attribute_text
from regraft.ir.equality import equal
from regraft.ir.graph import Constant, Tensor
from regraft.ir.model import Model

_SHOWN = 8  # elements that are shown themselves

Pairs = dict[tuple[Constant, Constant], str]
"""Constants that belong together, and what the second model calls the value."""


@dataclass(frozen=True)
class WeightChange:
    """A constant that came, went, or holds something else.

    Attributes:
        before, after: dtype and shape; None where it is absent.
        content: whether dtype and shape are the same, and the elements are not.
        elements: how many there are, where the shape is the same.
        differing, max_abs, cosine: how far the elements are from each other, as in `Distance`; None where that has no
            meaning, or cannot be known.
        values: the elements before and after, as text, where they are few.
    """

    name: str
    before: str | None
    after: str | None
    bytes_before: int
    bytes_after: int
    content: bool = False
    elements: int | None = None
    differing: int | None = None
    max_abs: float | None = None
    cosine: float | None = None
    values: tuple[str, str] | None = None


def weight_changes(before: Model, after: Model, nodes: Alignment) -> Iterator[WeightChange]:
    """What differs: constants in the same place of two nodes, others by name; of the rest what is not small.

    A constant that the other model has anywhere, under whatever name, neither came nor went.
    """
    pairs = pairs_of(nodes)
    paired = {constant for pair in pairs for constant in pair}
    every = [list(constants(model)) for model in (before, after)]
    old, new = ([c for c in side if c not in paired] for side in every)
    named = {c.name: c for c in new if c.name}
    by_name = {(c, named[c.name]): c.name for c in old if c.name in named}
    yield from (_change(a, b, name) for (a, b), name in (pairs | by_name).items() if not _same(a, b, nodes))
    paired = {constant for pair in by_name for constant in pair}
    gone, came = ([c for c in side if c not in paired and c.nbytes >= LARGE] for side in (old, new))
    moved = _moved(gone, every[1]) | _moved(came, every[0])
    yield from (WeightChange(c.name, constant_type(c), None, c.nbytes, 0) for c in gone if c not in moved)
    yield from (WeightChange(c.name, None, constant_type(c), 0, c.nbytes) for c in came if c not in moved)


def _same(a: Constant, b: Constant, nodes: Alignment) -> bool:
    if max(a.nbytes, b.nbytes) < LARGE and a.is_known and b.is_known:
        return nodes.old.value(a) == nodes.new.value(b)
    return equal(a, b)


def _moved(constants: list[Constant], others: Iterable[Constant]) -> set[Constant]:
    """Those that stand among `others`, too."""
    samples = set(map(contents.sample, constants))
    alike = [other for other in others if samples and contents.sample(other) in samples]
    own = set(constants)
    groups = contents.same([*constants, *alike]) if alike else []
    return {one for group in groups if not own.issuperset(group) for one in group if one in own}


def pairs_of(nodes: Alignment) -> Pairs:
    """The constants that stand in the same place of two nodes that are the same, as initializers or Constant nodes."""
    found: Pairs = {}
    for old, new in nodes.after.items():
        for x, y in zip(old.inputs, new.inputs, strict=False):
            a, b = held(x), held(y)
            if a is not None and b is not None and a is not b:
                found.setdefault((a, b), str(y.name))
        if old.attrs:
            for name, value in old.attrs.items():
                other = new.attrs.get(name)
                if isinstance(value, Constant) and isinstance(other, Constant):
                    found.setdefault((value, other), _attribute_name(new.outputs, name))
    return found


def constant_type(constant: Constant) -> str:
    """`float32[768, 768]`."""
    return f"{constant.dtype}[{', '.join(map(str, constant.shape))}]"


def _attribute_name(outputs: list[Tensor], name: str) -> str:
    return next((str(tensor.name) for tensor in outputs), name)


def _change(a: Constant, b: Constant, name: str) -> WeightChange:
    before, after = constant_type(a), constant_type(b)
    same_shape, known = tuple(a.shape) == tuple(b.shape), a.is_known and b.is_known
    change = WeightChange(name, before, after, a.nbytes, b.nbytes, before == after, a.size if same_shape else None)
    if known and max(a.size, b.size) <= _SHOWN:
        change = replace(change, values=(attribute_text(a), attribute_text(b)))
    return replace(change, **distance(a, b)._asdict()) if same_shape and known else change
