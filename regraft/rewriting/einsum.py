"""Einsum as a term of Transpose, MatMul and, where a group of labels must be one axis, Reshape.

Labels fall into groups: those of both operands that stay are the batch, those that go are contracted, and each operand
has its own. MatMul takes the batch, and all but one of an operand's own labels, as leading axes that broadcast, so a
Reshape is needed only for several contracted labels, and for several of the second operand whose sizes are known, where
one large product is better than many small ones. No Reshape needs more than zeros and one -1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from regraft.errors import PassError
from regraft.ir.editor import Editor
from regraft.ir.graph import Dim, Tensor
from regraft.refusal import INFER_SHAPES, run_before
from regraft.rewriting.derive import transposed
from regraft.rewriting.term import Given, Term, op
from regraft.wording import count

_ROW, _SUM, _COLUMN = "row", "sum", "column"


@dataclass(frozen=True)
class Operand:
    """A term whose axes have labels; `sizes` gives that of each label."""

    term: Term
    labels: tuple[str, ...]
    sizes: dict[str, Dim]

    def summed(self, gone: set[str]) -> Operand:
        axes = [i for i, label in enumerate(self.labels) if label in gone]
        if not axes:
            return self
        term = op.ReduceSum(self.term, axes=axes, keepdims=0)
        return replace(self, term=term, labels=tuple(label for label in self.labels if label not in gone))

    def squeezed(self, gone: set[str]) -> Operand:
        axes = [i for i, label in enumerate(self.labels) if label in gone]
        if not axes:
            return self
        rest = tuple(label for label in self.labels if label not in gone)
        return replace(self, term=op.Squeeze(self.term, axes=axes), labels=rest)

    def ordered(self, labels: Sequence[str], edit: Editor) -> Operand:
        order = [self.labels.index(label) for label in labels]
        return replace(self, term=transposed(self.term, order, edit), labels=tuple(labels))


def written(equation: str, inputs: Sequence[Tensor], edit: Editor) -> Term:
    """The term of Einsum.

    Raises:
        PassError: the equation has a diagonal, or does not fit the inputs, or their ranks are not known.
    """
    terms, output = parse(equation, [None if t.shape is None else len(t.shape) for t in inputs])
    operands = [
        Operand(Given(t), labels, dict(zip(labels, t.shape or (), strict=True)))
        for t, labels in zip(inputs, terms, strict=True)
    ]
    result = operands.pop(0)
    while operands:
        later = {label for operand in operands[1:] for label in operand.labels}
        result = _pair(result, operands.pop(0), later.union(output), output, edit)
    return result.summed(set(result.labels) - set(output)).ordered(output, edit).term


def parse(equation: str, ranks: Sequence[int | None]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """The labels of each operand and of the output. The axes under an ellipsis are called 0, 1 ... from the last on.

    Raises:
        PassError: a label stands twice in an operand, or the equation does not fit the ranks.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    if len(texts) != len(ranks):
        raise PassError(f"'{equation}' is for {count(len(texts), 'operand')}, and it has {len(ranks)}")
    terms = [_labels(text, rank, equation) for text, rank in zip(texts, ranks, strict=True)]
    hidden = max((term for term in (_hidden(t) for t in terms)), key=len)
    if arrow:
        before, dots, after = right.partition("...")
        output = (*before, *(hidden if dots else ()), *after)
    else:
        once = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
        output = (*hidden, *once)
    known = {label for term in terms for label in term}
    if len(set(output)) < len(output) or set(output) - known:
        raise PassError(f"the output of '{equation}' has a label twice, or one that no operand has")
    return terms, output


def _labels(text: str, rank: int | None, equation: str) -> tuple[str, ...]:
    before, dots, after = text.partition("...")
    named = (*before, *after)
    if len(set(named)) < len(named):
        raise PassError(f"'{equation}' takes a diagonal, which no other operator does")
    if rank is None:
        if dots:
            raise PassError(run_before(INFER_SHAPES, "the rank of an operand with an ellipsis is not known"))
        raise PassError(run_before(INFER_SHAPES, "the shape of an operand is not known"))
    if rank < len(named) or (rank > len(named) and not dots):
        raise PassError(f"'{equation}' does not fit an operand of rank {rank}")
    return (*before, *map(str, reversed(range(rank - len(named)))), *after)


def _hidden(labels: Sequence[str]) -> tuple[str, ...]:
    """The axes under an ellipsis."""
    return tuple(label for label in labels if label.isdigit())


def _pair(a: Operand, b: Operand, needed: set[str], output: Sequence[str], edit: Editor) -> Operand:
    """The product of two operands, summed over the labels that are not `needed` any more."""
    gone = {label for label in {*a.labels} & {*b.labels} - needed if a.sizes[label] != b.sizes[label]}
    a, b = (one.squeezed({label for label in gone if one.sizes[label] == 1}) for one in (a, b))
    a, b = (
        one.summed({label for label in one.labels if label not in other.labels and label not in needed})
        for one, other in ((a, b), (b, a))
    )
    order = [label for label in output if label in needed] + sorted(needed - set(output))
    kept = [label for label in order if label in a.labels or label in b.labels]
    contracted = [label for label in a.labels if label in b.labels and label not in needed]
    is_product = bool(contracted) and any((label in a.labels) != (label in b.labels) for label in kept)
    return (_matrix_product if is_product else _product)(a, b, kept, contracted, edit)


def _product(a: Operand, b: Operand, kept: list[str], contracted: list[str], edit: Editor) -> Operand:
    """By Mul, and a sum."""
    labels = (*kept, *contracted)
    term = _aligned(a, labels, edit) * _aligned(b, labels, edit)
    return Operand(term, labels, _sizes(a, b)).summed(set(contracted))


def _aligned(one: Operand, labels: Sequence[str], edit: Editor) -> Term:
    """`one` with its axes in the order of `labels`, so that it broadcasts to all of them."""
    own = [label for label in labels if label in one.labels]
    return _spread(one.ordered(own, edit).term, own, labels)


def _spread(term: Term, own: Sequence[str], labels: Sequence[str]) -> Term:
    """`term` with axes of size 1 for those of `labels` that it lacks; before its first, broadcasting adds them."""
    from_first = labels[labels.index(own[0]) :] if own else ()
    axes = [i for i, label in enumerate(from_first) if label not in own]
    return op.Unsqueeze(term, axes=axes) if axes else term


def _matrix_product(a: Operand, b: Operand, kept: list[str], contracted: list[str], edit: Editor) -> Operand:
    """By MatMul, whose result has the axes [both, lead_a, lead_b, row, column]."""
    sizes = _sizes(a, b)
    both = [label for label in kept if label in a.labels and label in b.labels]
    rows = [label for label in kept if label not in b.labels]
    columns = [label for label in kept if label not in a.labels]
    if len(contracted) > 1 and any(a.sizes[label] is None or a.sizes[label] != b.sizes[label] for label in contracted):
        raise PassError("it sums over several labels at once whose sizes are not known to be equal")
    is_merged = bool(rows) and len(columns) > 1 and all(isinstance(sizes[label], int) for label in columns)
    lead_a, lead_b = rows[:-1], [] if is_merged else columns[:-1]
    column = columns[len(lead_b) :]
    front = [*both, *lead_a, *lead_b]
    # without a batch, MatMul takes a vector as one, and its axis does not come back
    row_axis, column_axis = [_ROW] * bool(rows or both), [_COLUMN] * bool(columns or both)
    left = _merged(a, [*both, *rows], contracted, [], edit)
    right = _merged(b, [*both, *lead_b], contracted, column, edit)
    left = _spread(left, [*both, *lead_a, *([_ROW] if rows else []), _SUM], [*front, *row_axis, _SUM])
    right = _spread(right, [*both, *lead_b, _SUM, *([_COLUMN] if columns else [])], [*front, _SUM, *column_axis])
    term: Term = left @ right
    single = ([] if rows or not both else [len(front)]) + ([] if columns or not both else [len(front) + 1])
    term = op.Squeeze(term, axes=single) if single else term
    labels = (*front, *rows[-1:], *column)
    if is_merged:
        before = len(labels) - len(column)
        term = op.Reshape(term, shape=[0] * before + [sizes[label] for label in column])
    return Operand(term, labels, sizes)


def _merged(one: Operand, front: list[str], contracted: list[str], column: list[str], edit: Editor) -> Term:
    """Axes [front, contracted, column], those of the last two groups each made one."""
    if len(contracted) < 2 and len(column) < 2:
        return one.ordered([*front, *contracted, *column], edit).term
    inner, outer = _count(one, contracted), _count(one, column)
    if inner == outer == -1 and column:  # only one size can follow from the others
        turned = op.Reshape(one.ordered([*front, *column, *contracted], edit).term, shape=[0] * (len(front) + 1) + [-1])
        return op.Transpose(turned, perm=[*range(len(front)), len(front) + 1, len(front)])
    shape = [*[0] * len(front), 0 if len(contracted) == 1 else inner, *([outer] if column else [])]
    return op.Reshape(one.ordered([*front, *contracted, *column], edit).term, shape=shape)


def _count(one: Operand, labels: list[str]) -> int:
    """The product of sizes; -1 where one is not known."""
    known = [size for size in map(one.sizes.get, labels) if isinstance(size, int)]
    return math.prod(known) if len(known) == len(labels) else -1


def _sizes(a: Operand, b: Operand) -> dict[str, Dim]:
    """The size of each label: that which is not 1 where the two differ."""
    return {**a.sizes, **{label: size for label, size in b.sizes.items() if a.sizes.get(label, 1) == 1}}
