"""Attention and its position embedding, as terms of plain operators."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from regraft.proving.call import Call, Known
from regraft.proving.digits import digit, exact, number_of, place_at
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Polynomial, constant
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.reshaping import left, merged, reshaped
from regraft.proving.slicing import count_of
from regraft.proving.tensor import UNIT, At, Axis, Tensor, axis_of, filled, named
from regraft.proving.truths import at_least
from regraft.proving.views import transposed
from regraft.rewriting.term import Term, op


def attention(call: Call) -> Tensor | Term:
    """Without a cache. A row of which everything is masked is not defined."""
    if any(one is not None for one in call.operands[4:]):
        raise OutOfReach("Attention with a cache")
    call.attribute("softmax_precision", 0), call.attribute("qk_matmul_output_mode", 0)
    query, key, value = (call.operand(place) for place in range(3))
    heads, shared = call.attribute("q_num_heads", None), call.attribute("kv_num_heads", None)
    packed = len(query.axes) == 3
    if packed:
        if heads is None or shared is None:
            raise OutOfReach("Attention of packed heads without their number")
        query, key, value = split(query, heads), split(key, shared), split(value, shared)
    if any(len(one.axes) != 4 or any(axis.many for axis in one.axes) for one in (query, key, value)):
        raise ShapeError(f"Attention of [{named(query.axes)}]")
    times = exact(count_of(query.axes[1]), count_of(key.axes[1]))
    if times is None:
        raise ShapeError(f"Attention whose heads are {query.axes[1]} and {key.axes[1]}")
    key, value = (repeated(one, query.axes[1]) for one in (key, value))
    scores = op.MatMul(Known(query), op.Transpose(Known(key), perm=[0, 1, 3, 2])) * _scale(call, query.axes[3])
    cap = call.number("softcap", 0.0)
    if cap != 0.0:
        scores = op.Tanh(scores / cap) * cap
    weights = _weights(call, scores, query.axes[2], key.axes[2])
    result = op.MatMul(weights, Known(value))
    if not packed:
        return result
    depth = merged([query.axes[1], value.axes[3]])
    shape = Known(sizes((query.axes[0], query.axes[2], depth)))
    return op.Reshape(op.Transpose(result, perm=[0, 2, 1, 3]), shape)


def sizes(axes: tuple[Axis, ...]) -> Tensor:
    """The sizes of some axes, as Shape gives them."""
    counts = [count_of(axis) for axis in axes]
    return Tensor((axis_of(constant(len(axes))),), lambda at, domain: counts[at[0]], "integer")  # type: ignore[index]


def split(x: Tensor, heads: int) -> Tensor:
    """The heads that lie side by side along the last axis, along one of their own."""
    if len(x.axes) != 3 or any(axis.many for axis in x.axes):
        raise ShapeError(f"packed heads [{named(x.axes)}]")
    own = axis_of(constant(heads))
    return transposed(reshaped(x, [*x.axes[:2], own, left([x.axes[2]], [own])]), [0, 2, 1, 3])


def repeated(x: Tensor, heads: Axis) -> Tensor:
    """Each head as often as there are `heads`."""
    if x.axes[1] == heads:
        return x
    shared = count_of(x.axes[1])
    times = exact(count_of(heads), shared) or constant(1)

    def elements(at: At, domain: Domain) -> Polynomial:
        return x.elements((at[0], place_at(digit(number_of(at[1]), times, shared)), *at[2:]), domain)

    return replace(x, axes=(x.axes[0], heads, *x.axes[2:]), elements=elements)


def _scale(call: Call, depth: Axis) -> Any:
    found = call.number("scale", None)
    if found is not None and isinstance(found, float) and found <= 0:
        raise OutOfReach(f"Attention with a scale of {found:g}")
    return found if found is not None else Known(filled(Domain().power(count_of(depth), -1))) ** 0.5


def _weights(call: Call, scores: Term, queries: Axis, keys: Axis) -> Term:
    """The softmax of scores; those that are masked have no weight."""
    mask = call.operands[3] if len(call.operands) > 3 else None
    kept: list[Term] = []
    if mask is not None:
        if mask.axes[-1] == UNIT != keys:
            raise OutOfReach("Attention with a mask that is shorter than the keys")
        if mask.kind == "boolean":
            kept.append(op.CastLike(Known(mask), scores))
        else:
            scores = op.Add(scores, Known(mask))
    if call.attribute("is_causal", 0):
        kept.append(Known(_causal(queries, keys)))
    if not kept:
        return op.Softmax(scores, axis=-1)
    weights = op.Exp(scores)
    for one in kept:
        weights = op.Mul(weights, one)
    return op.Div(weights, op.ReduceSum(weights, axes=[-1], keepdims=1))


def _causal(queries: Axis, keys: Axis) -> Tensor:
    """1 where a key is not behind the query."""

    def elements(at: At, domain: Domain) -> Polynomial:
        return at_least(number_of(at[0]) - number_of(at[1]))

    return Tensor((queries, keys), elements)


def rotary_embedding(call: Call) -> Tensor | Term:
    x, packed = call.operand(0), len(call.operand(0).axes) == 3
    heads = call.attribute("num_heads", 0)
    turned = split(x, heads) if packed else x
    if len(turned.axes) != 4 or any(axis.many for axis in turned.axes):
        raise ShapeError(f"RotaryEmbedding of [{named(x.axes)}]")
    depth = count_of(turned.axes[3]).number
    width = call.attribute("rotary_embedding_dim", 0) or depth
    if depth is None or width is None:
        raise OutOfReach("RotaryEmbedding of heads of which the size is not known")
    cos, sin = call.terms[1], call.terms[2]
    if len(call.operands) > 3 and call.operands[3] is not None:
        cos, sin = (op.Gather(one, call.terms[3], axis=0) for one in (cos, sin))
    cos, sin = (op.Unsqueeze(one, axes=[1]) for one in (cos, sin))
    half, last, given = int(width) // 2, int(depth), Known(turned)
    if call.attribute("interleaved", 0):
        one, other = (_cut(given, start, int(width), 2) for start in (0, 1))
    else:
        one, other = _cut(given, 0, half), _cut(given, half, int(width))
    real, imaginary = cos * one - sin * other, sin * one + cos * other
    if call.attribute("interleaved", 0):
        pairs = op.Concat(op.Unsqueeze(real, axes=[4]), op.Unsqueeze(imaginary, axes=[4]), axis=-1)
        whole = op.Reshape(pairs, shape=[0, 0, 0, int(width)])
    else:
        whole = op.Concat(real, imaginary, axis=-1)
    result = op.Concat(whole, _cut(given, int(width), last), axis=-1) if width != depth else whole
    return op.Reshape(op.Transpose(result, perm=[0, 2, 1, 3]), Known(sizes(x.axes))) if packed else result


def _cut(x: Term, start: int, end: int, step: int = 1) -> Term:
    return op.Slice(x, starts=[start], ends=[end], axes=[3], steps=[step])
