"""Multiply-accumulates against what the literature's formulas and counting by hand give."""

from __future__ import annotations

import onnx.parser
import pytest

import regraft
from regraft.errors import ModelError
from regraft.files.convert import from_proto
from regraft.inspection.macs import count_macs
from regraft.models import bert


def parse(body: str, inputs: str, opset: int = 21):
    text = f'<ir_version: 10, opset_import: ["" : {opset}, "other" : 1]>\ng ({inputs}) => (float[] y) {{ {body} }}'
    return from_proto(onnx.parser.parse_model(text))


CASES = {
    "matmul": ("y = MatMul (a, b)", "float[2,3,4,5] a, float[5,6] b", 2 * 3 * 4 * 6 * 5),
    "matmul of batches": ("y = MatMul (a, b)", "float[7,1,4,5] a, float[3,5,6] b", 7 * 3 * 4 * 6 * 5),
    "vector": ("y = MatMul (a, b)", "float[5] a, float[5] b", 5),
    "gemm": ("y = Gemm (a, b, c)", "float[4,5] a, float[5,6] b, float[6] c", 4 * 6 * 5),
    "gemm transposed": ("y = Gemm <transA=1, transB=1> (a, b)", "float[5,4] a, float[6,5] b", 4 * 6 * 5),
    "convolution": ("y = Conv <pads=[1,1,1,1]> (x, w)", "float[2,8,10,10] x, float[16,8,3,3] w", 2 * 16 * 100 * 8 * 9),
    "in groups": ("y = Conv <group=4, strides=[2,2]> (x, w)", "float[1,8,9,9] x, float[16,2,3,3] w", 16 * 16 * 2 * 9),
    "transposed": ("y = ConvTranspose (x, w)", "float[1,8,10,10] x, float[8,4,3,3] w", 8 * 100 * 4 * 9),
    "einsum": (
        'y = Einsum <equation="bnsd,bntd->bnst"> (q, k)',
        "float[2,3,4,5] q, float[2,3,6,5] k",
        2 * 3 * 4 * 6 * 5,
    ),
    "einsum of batches": (
        'y = Einsum <equation="...ij,jk"> (a, b)',
        "float[2,3,4,5] a, float[5,6] b",
        2 * 3 * 4 * 6 * 5,
    ),
    "einsum of one": ('y = Einsum <equation="ij->ji"> (a)', "float[4,5] a", 0),
    "integers": ("i = MatMulInteger (a, b)\n y = Cast <to=1> (i)", "uint8[4,5] a, int8[5,6] b", 4 * 6 * 5),
    "nothing multiplied": ("s = Softmax (x)\n y = Mul (s, x)", "float[8,8] x", 0),
}


@pytest.mark.parametrize("case", CASES)
def test_each_operator(case: str) -> None:
    body, inputs, expected = CASES[case]
    macs = count_macs(parse(body, inputs))
    assert macs.total == expected
    assert not macs.unknown


@pytest.mark.parametrize(
    ("query", "key", "value"), [([2, 3, 4, 8], [2, 3, 6, 8], [2, 3, 6, 5]), ([2, 4, 24], [2, 6, 24], [2, 6, 15])]
)
def test_attention_as_an_operator_counts_both_products(query: list[int], key: list[int], value: list[int]) -> None:
    heads = "<q_num_heads=3, kv_num_heads=3>" if len(query) == 3 else ""
    inputs = ", ".join(f"float{shape} {name}" for name, shape in zip("qkv", (query, key, value), strict=True))
    macs = count_macs(parse(f"y = Attention {heads} (q, k, v)", inputs, 23))
    assert macs.operators == {"Attention": 2 * 3 * 4 * 6 * (8 + 5)}


def test_a_body_counts_once_and_what_is_not_known_is_said() -> None:
    model = parse(
        """y = If (c) <then_branch = t () => (float[4,6] p) { p = MatMul (a, b) },
                       else_branch = e () => (float[4,6] q) { q = other.Magic (a, b) }>""",
        "bool c, float[4,5] a, float[5,6] b",
    )
    macs = count_macs(model)
    assert (dict(macs.operators), dict(macs.unknown)) == ({"MatMul": 120}, {"other.Magic": 1})
    assert dict(count_macs(parse("y = MatMul (a, b)", "float[n,5] a, float[5,6] b")).unknown) == {"MatMul": 1}


def bert_layer(sequence: int, hidden: int, wide: int) -> int:
    """Queries, keys, values and their output; scores and context; the feed-forward."""
    return 4 * sequence * hidden**2 + 2 * sequence**2 * hidden + 2 * sequence * hidden * wide


@pytest.mark.parametrize(("batch", "sequence"), [(1, 512), (8, 64)])
@pytest.mark.parametrize("fused", [False, True])
def test_bert(batch: int, sequence: int, fused: bool) -> None:
    size = bert.BASE
    model = bert.build(size, bert.Style(opset=20, gelu="op", layer_norm="op"))
    if fused:
        regraft.run(model, "fuse-attention")
    names = ("input_ids", "attention_mask", "token_type_ids")
    macs = count_macs(model, dict.fromkeys(names, (batch, sequence)))
    pooler = size.hidden**2
    assert macs.total == batch * (size.layers * bert_layer(sequence, size.hidden, size.intermediate) + pooler)
    assert not macs.unknown
    assert any("Attention" in operator for operator in macs.operators) == fused


def test_a_shape_of_no_input() -> None:
    with pytest.raises(ModelError, match="no input named 'z'; known: x"):
        count_macs(parse("y = Relu (x)", "float[4] x"), {"z": [1]})
