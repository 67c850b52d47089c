"""Where masks could come from outside: the places at which scores meet what only inputs and shapes decide."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from regraft.idioms.additive_mask import Masking
from regraft.ir import schema
from regraft.ir.graph import Node, Tensor
from regraft.ops.traits import LAYOUT, SHAPE_ONLY
from regraft.refusal import PassRef, Refusal
from regraft.regions.bounds import Bounds
from regraft.regions.origin import HIDING, origin
from regraft.regions.uniform import Uniform

MaskChain = tuple[Masking, ...]
"""Maskings one directly behind the other, the nearest to the Softmax first."""

_NO_MASK = Refusal("it hides nothing that could come from outside")
"""Of what is added to scores and is no mask: that it stays goes without saying."""


def find_mask_chains(every: Sequence[Masking], ends: Collection[Tensor] = ()) -> tuple[list[MaskChain], list[Refusal]]:
    """The maskings that what is given from outside can take the place of; and why others stay.

    A mask that is summed up with a learned bias, or hides places of it, is taken by itself, and once where layers share
    it. A constant stays, and so does what the caller gives as it is added, and what masks scores that are not for a
    Softmax alone.

    Args:
        ends: the outputs of the graph.
    """
    bounds, refusals = Bounds(), dict[Refusal, None]()
    chains: list[MaskChain] = []
    taken: set[Node] = set()
    for whole, masking in ((one, leaf) for one in every for leaf in _leaves(one)):
        if masking.node in taken:
            continue
        refusal = _reason_to_keep(masking, bounds) or _shown(whole, ends)
        if refusal is not None:
            if refusal is not _NO_MASK:
                refusals[replace(refusal, heading=f"kept the mask '{masking.mask.name}'")] = None
            continue
        taken.add(masking.node)
        last = chains[-1][-1] if chains else None
        if last is not None and last.scores is not None and last.node.inputs[last.scores] is masking.node.outputs[0]:
            chains[-1] = (*chains[-1], masking)
        else:
            chains.append((masking,))
    return chains, list(refusals)


def _leaves(masking: Masking) -> Iterator[Masking]:
    """`masking`, or where a learned bias is part of it, those that add to the bias, or hide places of it."""
    pending, seen = [masking], set[Node]()
    while pending:
        current = pending.pop()
        node = current.value.producer
        if node is None or node.domain or current.kind != "added" or not origin(current.value).tables:
            yield current
        elif node.op == "Add":
            if node not in seen:
                pending += [Masking(node, place, 1 - place, masking.softmax) for place in (1, 0)]
            seen.add(node)
        elif node.op == "Where" and (hiding := [place for place in (1, 2) if _hides(node.inputs[place])]):
            yield Masking(node, hiding[0], 3 - hiding[0], masking.softmax)
        else:
            yield current


def _hides(tensor: Tensor) -> bool:
    values = schema.constant_of(tensor)
    return values is not None and bool((values <= HIDING).all())


def _reason_to_keep(masking: Masking, bounds: Bounds) -> Refusal | None:
    """Why a masking stays on the device; None where it can move."""
    source, known = origin(masking.mask), bounds(masking.value)
    if masking.kind == "chosen" and known.high > HIDING:
        return Refusal(f"what is chosen instead of scores is not known to be {HIDING:g} or less")
    if masking.kind != "chosen" and source.tables:
        return _NO_MASK
    if not source.inputs and not source.sizes:
        return Refusal("it is a constant") if known.low <= HIDING or masking.kind == "chosen" else _NO_MASK
    if known.is_zero:
        simplify = PassRef("simplify-mask")
        return Refusal(f"it hides nothing; {simplify} takes it out", needs=(simplify,))
    if masking.kind == "added" and known.given and all(n.op in LAYOUT for n in source.nodes):
        return Refusal("the caller gives it as it is added")
    return None


def _shown(masking: Masking, ends: Collection[Tensor]) -> Refusal | None:
    """Where masked scores are seen, other than by their Softmax: there a hidden one would show as another number."""
    if masking.scores is None:
        seen = next((t for t in masking.node.outputs[3:] if t in ends or t.outputs), None)
        return None if seen is None else Refusal(f"masked scores are given as '{seen.name}'")
    for tensor in (masking.node.outputs[0], masking.softmax.inputs[0]):
        readers = {node for node in tensor.outputs if node.op not in SHAPE_ONLY}
        if tensor in ends or len(readers) > 1:
            return Refusal(f"the masked scores '{tensor.name}' are not for a Softmax alone")
    return None


def rows_alike(chain: MaskChain, uniform: Uniform) -> tuple[int, ...]:
    """The axes of a mask, but for the first, along which it does not vary and the scores have their size anyway."""
    first, axes = chain[0], set[int]()
    out = first.node.outputs[0].shape
    if out is None or (len(chain) > 1 and any(masking.transpose for masking in chain)):
        return ()
    if first.scores is None:  # the Attention operator of ONNX Runtime wants a mask of all queries and keys
        return tuple(axis for axis in uniform(first.mask) if axis == -3)
    scores = first.node.inputs[first.scores].shape or []
    transpose = first.transpose
    perm = list(range(len(out))) if transpose is None else transpose.attrs.get("perm", list(range(len(out)))[::-1])
    for place, axis in enumerate(perm[: len(out)]):
        behind = place - len(out)
        fits = len(scores) == len(out) and scores[behind] == out[behind] is not None
        if axis and fits:
            axes.add(axis - len(out))
    for masking in chain:
        tensor = masking.mask
        axes &= uniform(tensor) | {axis for axis in axes if -axis > len(tensor.shape or ())}
    return tuple(sorted(axes))
