"""Products of matrices, attention, and normalization."""

from __future__ import annotations

import math

import numpy as np

from regraft.rewriting.term import Term, op
from regraft.wording import count

from .call import Call
from .shaping import lengths
from .table import converts


@converts("FullyConnected")
def fully_connected(call: Call) -> Term:
    """x Wᵀ + b; Gemm where x is a matrix, and MatMul over its last axis where it is not flattened into one."""
    bias = None if call.flag("no_bias") else call[2]
    if call.flag("flatten", True) or len(call.dims(0)) == 2:
        x = call[0] if len(call.dims(0)) == 2 else op.Flatten(call[0], axis=1)
        return op.Gemm(x, call[1], bias, transB=1)
    product = call[0] @ op.Transpose(call[1], perm=[1, 0])
    return product if bias is None else product + bias


@converts("batch_dot")
def batch_dot(call: Call) -> Term:
    swap = [0, 2, 1]
    left = op.Transpose(call[0], perm=swap) if call.flag("transpose_a") else call[0]
    right = op.Transpose(call[1], perm=swap) if call.flag("transpose_b") else call[1]
    return left @ right


@converts("_contrib_div_sqrt_dim")
def div_sqrt_dim(call: Call) -> Term:
    width = (None, *call.dims(0))[-1]
    if not isinstance(width, int):
        raise call.error("the last dimension of its operand is not fixed; fix it by the shapes of the inputs")
    return call[0] / math.sqrt(width)


def _projected(call: Call, which: int) -> Term:
    """Queries (0), keys (1) or values (2) as `[batch · heads, sequence, width]`.

    The operand is `[sequence, batch, heads · 3 · width]`: for each head its query, key and value.
    """
    heads, (sequence, _, total) = call.int("heads"), call.dims(0, 3)
    if not isinstance(total, int) or heads < 1 or total % (3 * heads):
        raise call.error(f"its operand of {total} columns is not 3 times {count(heads, 'head')} of one width")
    width = total // heads // 3
    apart = op.Transpose(op.Reshape(call[0], np.array([0, -1, heads, 3, width])), perm=[3, 1, 2, 0, 4])
    return op.Reshape(op.Gather(apart, np.array(which), axis=0), lengths(call, [-1, sequence, width]))


@converts("_contrib_interleaved_matmul_selfatt_qk")
def attention_scores(call: Call) -> Term:
    """Queries over the root of their width, times keys: `[batch · heads, sequence, sequence]`."""
    queries, keys = _projected(call, 0), _projected(call, 1)
    width = call.dims(0)[-1] // call.int("heads") // 3
    return (queries / math.sqrt(width)) @ op.Transpose(keys, perm=[0, 2, 1])


@converts("_contrib_interleaved_matmul_selfatt_valatt")
def attention_values(call: Call) -> Term:
    """Weights times values, as `[sequence, batch, heads · width]`."""
    heads, (sequence, _, total) = call.int("heads"), call.dims(0, 3)
    product = op.Reshape(call[1] @ _projected(call, 2), lengths(call, [-1, heads, sequence, total // heads // 3]))
    return op.Reshape(op.Transpose(product, perm=[2, 0, 1, 3]), np.array([0, 0, -1]))


@converts("LayerNorm")
def layer_norm(call: Call) -> Term:
    rank = len(call.dims(0))
    if call.axis("axis", -1, rank) != rank - 1 or call.flag("output_mean_var"):
        raise call.error("only a LayerNorm over the last axis, without mean and variance, is mapped")
    return op.LayerNormalization(call[0], call[1], call[2], axis=-1, epsilon=float(call.float("eps", 1e-5)))
