"""Damaged files: small models of many kinds, changed by bytes and by fields, and all that reads a model run on them.

`python -m tests.hostile.mutations FIRST COUNT FOLDER` runs `COUNT` of them in this process; the number that it is at
stands in `FOLDER/at`, so that a crash or an endless loop is known by it. Each number is the same file, always.
"""

from __future__ import annotations

import faulthandler
import json
import random
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

import regraft
from regraft.errors import ModelError, RegraftError
from regraft.files.wire import fields
from regraft.inspection.diff import diff
from regraft.inspection.listing import listing
from regraft.inspection.show import summarize
from regraft.ir import verifier
from regraft.ir.model import Model
from regraft.shapes.analysis import analyse
from regraft.targeting.target import read_target
from regraft.verification.inputs import make_inputs

PIPELINES = (
    "strip-dropout,infer-shapes,fold-constants,eliminate-identity,eliminate-common-subexpressions,fuse-gelu,"
    "fuse-layer-norm,eliminate-dead-code",
    "convert-opset{version=17},fuse-attention,fold-attention-scale,simplify-mask,deduplicate-initializers",
    "lower-gelu,lower-layer-norm,lower-einsum,lower-softmax,convert-fp16",
)
SECONDS = 10
"""Within which one file must be done with."""

EXTREMES = (0, 1, 2, 3, 7, 16, 127, 128, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS = (
    b"",
    b"\x1b[31m\n\t\0",
    b"\xff\xfe",
    b"a" * 3000,
    b"9" * 5000,
    b"x",
    b"Reluu",
    b"ai.onnx.ml",
    b"..",
    b"[" * 500,
)


def _info(name: str, shape: list[int | str] | None, code: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, code, shape)


def _model(graph: onnx.GraphProto, opset: int = 18, **more: object) -> bytes:
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("my", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9, **more)
    helper.set_model_props(model, {"key": "value"})
    return model.SerializeToString()


def _arithmetic() -> bytes:
    weight = numpy_helper.from_array(np.arange(512, dtype=np.float32).reshape(16, 32), "w")
    half = numpy_helper.from_array(np.float32(0.5), "half")
    axes = numpy_helper.from_array(np.array([-1]), "axes")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "product"),
        helper.make_node("Div", ["a", "root"], ["b"]),
        helper.make_node("Erf", ["b"], ["c"]),
        helper.make_node("Add", ["c", "one"], ["d"]),
        helper.make_node("Mul", ["a", "d"], ["e"]),
        helper.make_node("Mul", ["e", "half"], ["f"]),
        helper.make_node("ReduceMean", ["f", "axes"], ["g"], keepdims=1),
        helper.make_node("Sub", ["f", "g"], ["h"]),
        helper.make_node("Softmax", ["h"], ["y"], axis=-1),
        helper.make_node("Einsum", ["f", "w"], ["z"], equation="bk,dk->bd"),
    ]
    constants = [half, weight, axes]
    constants += [numpy_helper.from_array(np.float32(v), n) for n, v in (("root", 2**0.5), ("one", 1.0))]
    outputs = [_info("y", ["b", 32]), _info("z", ["b", 16])]
    return _model(helper.make_graph(nodes, "arithmetic", [_info("x", ["b", 16])], outputs, constants))


def _shapes() -> bytes:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n", "zeros"], ["u"]),
        helper.make_node("Concat", ["u", "minus"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["r"]),
        helper.make_node("Slice", ["r", "zeros", "two", "zeros", "ones"], ["l"]),
        helper.make_node("Expand", ["l", "wide"], ["e"]),
        helper.make_node("Split", ["e", "parts"], ["p", "q"], axis=1),
        helper.make_node("Transpose", ["p"], ["y"], perm=[1, 0]),
        helper.make_node("Pad", ["q", "pads"], ["z"]),
        helper.make_node("ConstantOfShape", ["t"], ["k"], value=numpy_helper.from_array(np.zeros(1, np.int64))),
    ]
    numbers = {"zero": 0, "zeros": [0], "minus": [-1], "two": [2], "ones": [1], "wide": [2, 8], "parts": [3, 5]}
    constants = [numpy_helper.from_array(np.array(v), n) for n, v in (numbers | {"pads": [0, 1, 0, 1]}).items()]
    outputs = [_info("y", None), _info("z", [2, "w"]), _info("k", None, TensorProto.INT64)]
    return _model(helper.make_graph(nodes, "shapes", [_info("x", ["b", 4, 2])], outputs, constants))


def _flow() -> bytes:
    then = helper.make_graph([helper.make_node("Relu", ["x"], ["t"])], "then", [], [_info("t", ["b", 3])])
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["o"])], "else", [], [_info("o", ["b", 3])])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["state", "x"], ["next"]),
            helper.make_node("Identity", ["state"], ["row"]),
        ],
        "body",
        [_info("i", [], TensorProto.INT64), _info("go", [], TensorProto.BOOL), _info("state", ["b", 3])],
        [_info("on", [], TensorProto.BOOL), _info("next", ["b", 3]), _info("row", ["b", 3])],
    )
    scan = helper.make_graph(
        [helper.make_node("Add", ["sum", "line"], ["total"]), helper.make_node("Identity", ["total"], ["each"])],
        "scan",
        [_info("sum", [3]), _info("line", [3])],
        [_info("total", [3]), _info("each", [3])],
    )
    nodes = [
        helper.make_node("If", ["c"], ["m"], then_branch=then, else_branch=other),
        helper.make_node("Loop", ["n", "c", "m"], ["last", "rows"], body=body),
        helper.make_node("Scan", ["first", "last"], ["sums", "every"], body=scan, num_scan_inputs=1),
    ]
    constants = [numpy_helper.from_array(np.int64(3), "n"), numpy_helper.from_array(np.zeros(3, np.float32), "first")]
    inputs = [_info("x", ["b", 3]), _info("c", [], TensorProto.BOOL)]
    outputs = [_info("rows", None), _info("every", ["b", 3])]
    return _model(helper.make_graph(nodes, "flow", inputs, outputs, constants))


def _functions() -> bytes:
    scaled = helper.make_node("Elu", ["t"], ["y"])
    scaled.attribute.append(AttributeProto(name="alpha", ref_attr_name="alpha", type=AttributeProto.FLOAT))
    inner = helper.make_function(
        "my", "Inner", ["x"], ["y"], [helper.make_node("Abs", ["x"], ["t"]), scaled],
        [helper.make_opsetid("", 18)], ["alpha"],
    )  # fmt: skip
    calls = [
        helper.make_node("Inner", ["a"], ["b"], domain="my", alpha=0.5),
        helper.make_node("Inner", ["b"], ["c"], domain="my", alpha=2.0),
    ]
    imports = [helper.make_opsetid("my", 1), helper.make_opsetid("", 18)]
    outer = helper.make_function("my", "Outer", ["a"], ["c"], calls, imports)
    graph = helper.make_graph([helper.make_node("Outer", ["x"], ["y"], domain="my")], "calls",
                              [_info("x", ["b", 3])], [_info("y", ["b", 3])])  # fmt: skip
    return _model(graph, functions=[inner, outer])


def _other_types() -> bytes:
    map_type = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([1.0, 2.0], np.float32), "sp"),
        numpy_helper.from_array(np.array([1, 4]), "sp_indices"), [6],
    )  # fmt: skip
    nodes = [
        helper.make_node("ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["a", "b"]),
        helper.make_node("SequenceConstruct", ["x", "x"], ["seq"]),
        helper.make_node("SequenceAt", ["seq", "zero"], ["at"]),
        helper.make_node("Optional", ["at"], ["opt"]),
        helper.make_node("OptionalGetElement", ["opt"], ["got"]),
        helper.make_node("Add", ["flat", "sp"], ["dense"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "point"], ["deq"], axis=0),
        helper.make_node("Identity", ["texts"], ["said"]),
    ]
    constants = [numpy_helper.from_array(np.int64(0), "zero"), numpy_helper.from_array(np.ones(6, np.float32), "flat")]
    constants += [
        numpy_helper.from_array(np.ones((2, 3), np.int8), "q"),
        helper.make_tensor("texts", 8, [2], ["a", "é"]),
    ]
    constants += [numpy_helper.from_array(np.array([0.1, 0.2], np.float32), "scale")]
    constants += [numpy_helper.from_array(np.zeros(2, np.int8), "point")]
    outputs = [helper.make_value_info("maps", helper.make_sequence_type_proto(map_type)), _info("got", None)]
    outputs += [_info("dense", [6]), _info("deq", [2, 3]), _info("said", [2], TensorProto.STRING)]
    inputs = [_info("x", ["n", 2])]
    return _model(helper.make_graph(nodes, "types", inputs, outputs, constants, sparse_initializer=[sparse]))


def _attention() -> bytes:
    nodes = [
        helper.make_node("MatMul", ["x", "wq"], ["q"]),
        helper.make_node("MatMul", ["x", "wk"], ["k"]),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["s"]),
        helper.make_node("Constant", [], ["c"], value_float=0.25),
        helper.make_node("Mul", ["s", "c"], ["scaled"]),
        helper.make_node("Add", ["scaled", "mask"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "x"], ["o"]),
        helper.make_node("LayerNormalization", ["o", "g"], ["y"], axis=-1),
        helper.make_node("Dropout", ["y"], ["d"]),
    ]
    constants = [numpy_helper.from_array(np.eye(16, dtype=np.float32), n) for n in ("wq", "wk")]
    constants += [numpy_helper.from_array(np.ones(16, np.float32), "g")]
    inputs = [_info("x", ["b", "s", 16]), _info("mask", ["b", 1, "s"])]
    return _model(helper.make_graph(nodes, "attention", inputs, [_info("d", ["b", "s", 16])], constants))


SEEDS: tuple[Callable[[], bytes], ...] = (_arithmetic, _shapes, _flow, _functions, _other_types, _attention)


def recorded(data: bytes) -> bytes:
    """The model with the record of a rewrite in its metadata."""
    model = onnx.ModelProto.FromString(data)
    record = json.dumps([["fuse-gelu", [["gelu", ["product"], ["a"]]]]])
    helper.set_model_props(
        model, {"regraft.record": record, "regraft.pipeline": "fuse-gelu", "regraft.stages": '["a"]'}
    )
    return model.SerializeToString()


# ------------------------------------------------------------------------------------------------ damage


def mutated(number: int, seeds: list[bytes]) -> bytes:
    """File `number`."""
    chance = random.Random(number)
    data = chance.choice(seeds)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        change = chance.choice((_byte, _cut, _field, _field, _field, _field))
        data = change(data, chance, seeds)
    return data


def _byte(data: bytes, chance: random.Random, seeds: list[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if changed:
            changed[chance.randrange(len(changed))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(changed)


def _cut(data: bytes, chance: random.Random, seeds: list[bytes]) -> bytes:
    start = chance.randrange(len(data) + 1)
    stop = min(len(data), start + chance.randint(0, 60))
    other = chance.choice(seeds)
    begin = chance.randrange(len(other))
    return data[:start] + other[begin : begin + chance.choice((0, 0, stop - start, 40))] + data[stop:]


def _field(data: bytes, chance: random.Random, seeds: list[bytes], depth: int = 0) -> bytes:
    """One field changed, at any depth, and the lengths around it made right."""
    try:
        found = list(fields(data, 0, len(data)))
    except ModelError:
        found = []
    if not found:
        return data
    number, wire, begin, value, end = chance.choice(found)
    tag = _varint(number << 3 | wire)
    if wire == 2 and depth < 12 and end > value and chance.random() < 0.8:
        inner = _field(data[value:end], chance, seeds, depth + 1)
        return data[:begin] + tag + _varint(len(inner)) + inner + data[end:]
    match chance.randrange(6):
        case 0:
            new = b""
        case 1:
            new = data[begin:end] * chance.choice((2, 3, 40))
        case 2:
            new = _varint(chance.randint(1, 30) << 3 | wire) + data[value:end]
        case 3:
            nested = data[begin:end]
            for _ in range(chance.choice((1, 5, 120))):
                nested = tag + _varint(len(nested)) + nested
            new = nested
        case _:
            new = tag + (_varint(chance.choice(EXTREMES)) if wire == 0 else data[value:end])
            if wire == 2:
                text = chance.choice(TEXTS)
                new = tag + _varint(len(text)) + text
    return data[:begin] + new + data[end:]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


# ------------------------------------------------------------------------------------------------ use


def use(path: Path, number: int, original: Model) -> None:
    """All that reads a model, on the one at `path`; raises a RegraftError where it is refused."""
    model = regraft.load(path)
    json.dumps(summarize(model).to_dict())
    list(listing(model))
    found = diff(original, model)
    found.to_json()
    verifier.check(model)
    analyse(model)
    TARGET.judge(model)
    make_inputs(model)
    regraft.run(model, PIPELINES[number % len(PIPELINES)], verify="none")
    regraft.save(model, path.with_name("out.onnx"), ("inline", "external")[number % 2])  # type: ignore[arg-type]
    regraft.load(path.with_name("out.onnx"))


TARGET = read_target("neuron-inf1{batch=1}")


def main(first: int, count: int, folder: Path, step: int = 1) -> int:
    """Run the files; print each that ends otherwise than well or in a refusal."""
    seeds = [make() for make in SEEDS]
    seeds += [recorded(seed) for seed in seeds]
    (folder / "original.onnx").write_bytes(seeds[0])
    original = regraft.load(folder / "original.onnx")
    path, bad, refused, said = folder / "m.onnx", 0, 0, Counter[str]()
    for number in range(first, first + count * step, step):
        (folder / "at").write_text(str(number))
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        path.write_bytes(mutated(number, seeds))
        try:
            use(path, number, original)
        except RegraftError as error:
            refused += 1
            said[re.sub(r"'[^']*'|\d+|/\S+", "_", str(error))[:70]] += 1
            crashed = "failed on" in str(error) and ", line " in str(error)
            if len(str(error).splitlines()) != 1 or crashed:
                bad += 1
                print(f"file {number}: {error}")
        except Exception as error:
            bad += 1
            frames = [f for f in traceback.extract_tb(error.__traceback__) if "tests" not in f.filename] or ["?"]
            words = " ".join(str(error).split())[:100]
            ours = next((f for f in reversed(frames) if "site-packages" not in str(f)), frames[0])
            print(f"file {number}: {type(error).__name__}: {words} at {frames[-1]} through {ours}")
        faulthandler.cancel_dump_traceback_later()
    (folder / "at").write_text("done")
    for line, times in said.most_common(40 if "-v" in sys.argv else 0):
        print(f"{times:6} {line}")
    print(f"{count} files, {refused} refused, {bad} bad")
    return bad


if __name__ == "__main__":
    sys.exit(min(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])), 1))
