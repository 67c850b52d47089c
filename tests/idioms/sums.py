"""Embeddings written by hand, in the forms that exporters give them."""

from __future__ import annotations

import numpy as np
import onnx.parser

from regraft.files.convert import from_proto
from regraft.ir.model import Model

ROWS, TYPES, PLACES, WIDTH, LENGTH = 9, 2, 8, 4, 6
_SIZES = {"words": [ROWS, WIDTH], "kinds": [TYPES, WIDTH], "places": [PLACES, WIDTH], "weight": [WIDTH, WIDTH]}
_SIZES |= {"cube": [1, PLACES, WIDTH], "fixed": [1, LENGTH, WIDTH], "plane": [LENGTH, WIDTH], "vector": [WIDTH]}
WEIGHTS = {
    name: np.random.default_rng(i).normal(size=size).astype(np.float32) for i, (name, size) in enumerate(_SIZES.items())
}

_N = "shape = Shape(ids) n = Gather(shape, i1)"
_LENGTH = f"{_N} length = Reshape(n, one)"
_COUNT = """
padding = Equal(ids, i1) real = Not(padding) number = Cast<to = 7>(real) counted = CumSum(number, i1)
kept = Mul(counted, number) index = Add(kept, i1)"""

POSITIONS = {  # what makes `p`, of the places 0, 1, 2, ... in the sequence
    "slice": f"{_LENGTH} index = Slice(all, zero, length, one) p = Gather(places, index)",
    "range": f"{_N} index = Range(i0, n, i1) p = Gather(places, index)",
    "rows in a batch": f"{_N} index = Range(i0, n, i1) rows = Gather(places, index) p = Reshape(rows, batch)",
    "expanded": f"{_N} line = Range(i0, n, i1) index = Expand(line, shape) p = Gather(places, index)",
    "offset": f"{_N} line = Range(i0, n, i1) index = Add(line, i1) p = Gather(places, index)",
    "counted": f"{_COUNT} p = Gather(places, index)",
    "scaled": f"{_LENGTH} index = Slice(all, zero, length, one) rows = Gather(places, index) p = Mul(rows, two)",
    "of the rows": "sizes = Shape(w) n = Gather(sizes, i1) index = Range(i0, n, i1) p = Gather(places, index)",
    "cut": f"{_LENGTH} p = Slice(places, zero, length)",
    "cut in a batch": f"{_LENGTH} p = Slice(cube, zero, length, one)",
    "cut of what is computed": f"{_LENGTH} doubled = Mul(cube, two) p = Slice(doubled, zero, length, one)",
    "constant": "p = Identity(fixed)",
    "constant rows": "p = Identity(plane)",
}

SUMS = {  # of `w`, `t` and `p`
    "left": "a = Add(w, t) x = Add(a, p)",
    "right": "a = Add(t, p) x = Add(w, a)",
    "turned": "a = Add(p, w) x = Add(t, a)",
    "one": "x = Sum(w, t, p)",
    "between": "a = Add(w, t) d = Dropout(a) i = Identity(d) b = Add(i, p) x = Dropout(b)",
    "scaled": "v = Mul(w, two) a = Add(v, t) x = Add(a, p)",
}

LOOKUPS = {  # `w` and `t`
    "gather": "w = Gather(words, ids) t = Gather(kinds, types)",
    "hot": """
        types_line = Reshape(types, minus) hot = OneHot(types_line, two_rows, off_on) type_rows = MatMul(hot, kinds)
        of_ids = Shape(ids) wanted = Concat<axis = 0>(of_ids, width) t = Reshape(type_rows, wanted)
        w = Gather(words, ids)""",
    "narrow": "narrow = Cast<to = 6>(ids) w = Gather(words, narrow) t = Gather(kinds, types)",
    "computed": "table = Mul(words, two) w = Gather(table, ids) t = Gather(kinds, types)",
    "bytes": "q = Gather(bytes, ids) w = DequantizeLinear(q, two) t = Gather(kinds, types)",
    "nested": """
        of_ids = Shape(ids) column = Concat<axis = 0>(of_ids, one) places_of = Reshape(ids, column)
        w = GatherND(words, places_of) t = Gather(kinds, types)""",
}

_CONSTANTS = """
int64 i0 = {0}, int64 i1 = {1}, int64[1] zero = {0}, int64[1] one = {1}, int64[1] minus = {-1}, float two = {2},
float unit = {1}, int64[3] batch = {1, -1, 4}, int64[1] width = {4}, int64[2] flat = {-1, 4}, int64 two_rows = {2},
float[2] off_on = {0, 1}, int64[1,8] all = {0, 1, 2, 3, 4, 5, 6, 7}"""
_BYTES = f"int8[{ROWS}, {WIDTH}] bytes = {{{', '.join(str(i % 11 - 5) for i in range(ROWS * WIDTH))}}}"


def written(
    body: str, opset: int = 17, length: int | str = "S", outputs: str = "float[B, S, 4] y", more: str = ""
) -> Model:
    """A model of token ids, token types and a mask whose nodes are `body`."""
    weights = [
        f"float{list(w.shape)} {name} = {{{', '.join(map(repr, w.reshape(-1).tolist()))}}}"
        for name, w in WEIGHTS.items()
    ]
    outputs = outputs.replace("S", str(length))
    text = f"""<ir_version: 10, opset_import: ["" : {opset}]>
    g (int64[B, {length}] ids, int64[B, {length}] types, float[B, {length}, 1] mask) => ({outputs})
    <{_CONSTANTS}, {", ".join([_BYTES, *weights, *([more] if more else [])])}> {{ {body} }}"""
    return from_proto(onnx.parser.parse_model(text))


def feeds() -> dict[str, np.ndarray]:
    """Inputs of those models: two sequences, one of them padded."""
    ids = np.array([[3, 8, 2, 5, 7, 4], [6, 2, 3, 1, 1, 1]])
    types = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 0, 0]])
    mask = np.random.default_rng(9).normal(size=(2, LENGTH, 1)).astype(np.float32)
    return {"ids": ids, "types": types, "mask": mask}


def embedded(
    position: str = "slice",
    total: str = "left",
    lookups: str = "gather",
    opset: int = 17,
    rest: str = "y = MatMul(x, weight)",
) -> Model:
    """A sum of three lookups, and what reads it."""
    body = f"{LOOKUPS[lookups]} {POSITIONS[position]} {SUMS[total]} {rest}"
    return written(body, opset, LENGTH if "constant" in position else "S")
