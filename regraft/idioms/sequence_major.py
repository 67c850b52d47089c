"""Where the places in a sequence come before the sequences: hidden states [S, B, H] of token ids [B, S]."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.idioms.embeddings import Embeddings
from regraft.idioms.lookups import Lookup
from regraft.ir.graph import Dim, Node, Tensor


def sum_is_turned(lookup: Lookup, embeddings: Embeddings) -> bool | None:
    """Whether the rows of `lookup` are added to rows [S, B, H]; None where that cannot be told of them.

    It can where what is added has its places along the same axis.
    """
    way = embeddings.way(lookup)
    turned = _against_ids(way[-1].outputs[0], embeddings)
    if turned is None:
        return None
    ids, rows = list(embeddings.ids.shape), list(way[-1].outputs[0].shape or [None])[:2]
    if None not in (*ids, *rows) and rows != (ids[::-1] if turned else ids):
        return None
    axes = _axes(way[-2].outputs[0] if way[1:] else lookup.output)
    if axes is None:
        return None if turned else False
    if 1 in axes:
        return turned if turned in (axes[0] != 1, axes[1] == 1) else None
    if not turned and not any(node.op == "Transpose" for node in way):
        return False
    between = _count_turns(way)
    return turned if between is not None and _is_full(lookup, turned ^ between, embeddings) else None


def index_is_turned(lookup: Lookup, embeddings: Embeddings) -> bool:
    """Whether the index of `lookup`, whose sum is one of those that can be told, is [S, B] or [S, 1]."""
    shape: Sequence[Dim] = () if lookup.index is None else lookup.index.shape or ()
    if len(shape) != 2:
        return False
    if 1 in shape:
        return bool(shape[0] != 1)
    return bool(sum_is_turned(lookup, embeddings)) ^ bool(_count_turns(embeddings.way(lookup)))


def _axes(rows: Tensor) -> list[Dim] | None:
    """The sizes of `rows` along the first two axes of hidden states."""
    if rows.shape is None or len(rows.shape) > 3:
        return None
    return [1, 1, *rows.shape][-3:-1]


def _is_full(lookup: Lookup, is_turned: bool, embeddings: Embeddings) -> bool:
    """Whether `lookup` has an index for each token, [S, B] if it `is_turned`, whose axes cannot be confused."""
    shape, ids = [] if lookup.index is None else list(lookup.index.shape or ()), list(embeddings.ids.shape)
    return shape == (ids[::-1] if is_turned else ids) and len({*ids, None}) == 3


def _against_ids(tensor: Tensor, embeddings: Embeddings) -> bool | None:
    """Whether the axes of `tensor`, a sum with rows by ids, are exchanged between those ids and it."""
    by_ids = {lookup.output: lookup for lookup in embeddings.by("ids")}
    with_ids = embeddings.sums_with_ids()
    passed: list[Node] = []
    while tensor is not embeddings.ids and tensor.inputs:
        (node,) = tensor.inputs
        passed.append(node)
        if tensor in by_ids:
            tensor = by_ids[tensor].index or embeddings.ids
        else:
            tensor = next((operand for operand in node.inputs if operand in with_ids), node.inputs[0])
    return _count_turns(passed) if len(tensor.shape or ()) == 2 else None


def _count_turns(nodes: list[Node]) -> bool | None:
    """Whether `nodes` exchange the first two axes an odd number of times; None where they exchange others."""
    turned = False
    for node in nodes:
        if node.op != "Transpose":
            continue
        rank = len(node.inputs[0].shape or ())
        perm = list(node.attrs.get("perm", range(rank)[::-1]))
        if perm != [1, 0, *range(2, rank)]:
            return None
        turned = not turned
    return turned
