"""Strings, sequences, maps and optionals: made or given, with the same meaning for every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper

from regraft.cli import cli
from regraft.files.convert import from_proto
from regraft.verification.inputs import make_inputs, read_given
from regraft.verification.runtime import Session
from regraft.verification.signature import Port
from regraft.verification.vectors import InputError, flat, load_vectors, save_vectors, typed

FLOAT = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
STRING = helper.make_tensor_type_proto(TensorProto.STRING, [3])


def map_of(key: int) -> onnx.TypeProto:
    return helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))


def build(nodes: list[onnx.NodeProto], inputs: dict[str, Any], outputs: dict[str, Any]) -> onnx.ModelProto:
    types = [[helper.make_value_info(n, t) for n, t in side.items()] for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, "g", *types)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 2)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def ml(*arguments: Any, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(*arguments, domain="ai.onnx.ml", **attributes)


def node(*arguments: Any, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(*arguments, **attributes)


MODELS = {
    "sequence of maps out": build(
        [ml("ZipMap", ["x"], ["probs"], classlabels_strings=["a", "b"])],
        {"x": helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 2])},
        {"probs": helper.make_sequence_type_proto(map_of(TensorProto.STRING))},
    ),
    "sequence of maps with numbers as keys out": build(
        [ml("ZipMap", ["x"], ["probs"], classlabels_int64s=[3, 7])],
        {"x": helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 2])},
        {"probs": helper.make_sequence_type_proto(map_of(TensorProto.INT64))},
    ),
    "map in": build(
        [ml("DictVectorizer", ["d"], ["v"], string_vocabulary=["a", "b", "c"]), node("Neg", ["v"], ["y"])],
        {"d": map_of(TensorProto.STRING)},
        {"y": FLOAT},
    ),
    "map with numbers as keys in": build(
        [ml("DictVectorizer", ["d"], ["v"], int64_vocabulary=[5, 6, 900]), node("Neg", ["v"], ["y"])],
        {"d": map_of(TensorProto.INT64)},
        {"y": FLOAT},
    ),
    "strings": build([node("Identity", ["s"], ["y"])], {"s": STRING}, {"y": STRING}),
    "sequence in and out": build(
        [node("SequenceInsert", ["q", "x"], ["r"])],
        {"q": helper.make_sequence_type_proto(FLOAT), "x": helper.make_tensor_type_proto(TensorProto.FLOAT, [2])},
        {"r": helper.make_sequence_type_proto(FLOAT)},
    ),
    "sequence of strings in": build(
        [node("SequenceAt", ["q", "i"], ["y"])],
        {
            "q": helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.STRING, None)),
            "i": helper.make_tensor_type_proto(TensorProto.INT64, []),
        },
        {"y": helper.make_tensor_type_proto(TensorProto.STRING, None)},
    ),
}
GIVEN: dict[str, tuple[dict[str, Any], str]] = {
    "map in": ({"d": {"a": 1.5, "c": -2.0}}, "y float32[1, 3] -1.5, -0, 2"),
    "map with numbers as keys in": ({"d": {"900": 2.5}}, "y float32[1, 3] -0, -0, -2.5"),
    "strings": ({"s": ["é", "", "two words"]}, "y string[3] é, , two words"),
    "sequence in and out": ({"q": [[1.0, 2.0], [[3.0]]], "x": [4.0, 5.0]}, "r[1] float32[1, 1] 3"),
    "sequence of strings in": ({"q": [["a"], ["b", "c"]], "i": 1}, "y string[2] b, c"),
}


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def good(*arguments: Any) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return " ".join(result.stdout.split())


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def path(kind: str, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(MODELS[kind], path)
    return path


def test_every_command_takes_them(kind: str, path: Path, tmp_path: Path) -> None:
    given: list[Any] = []
    if kind in GIVEN:
        (tmp_path / "given.json").write_text(json.dumps(GIVEN[kind][0]))
        given = ["--inputs", tmp_path / "given.json"]
    good("show", path)
    good("rewrite", path, "-o", tmp_path / "better.onnx", "--verify", "each", *given)
    good("verify", path, tmp_path / "better.onnx", *given)
    good("bench", path, tmp_path / "better.onnx", "--runs", 1, *given)
    good("rewrite", path, "-o", tmp_path / "bundle", *given)
    said = good("run", path, *given)
    assert good("run", tmp_path / "bundle", "--inputs", tmp_path / "bundle/golden/inputs.npz") == good(
        "run", path, "--inputs", tmp_path / "bundle/golden/inputs.npz"
    )
    if kind in GIVEN:
        assert GIVEN[kind][1] in said
        assert GIVEN[kind][1] in good("run", tmp_path / "bundle", "--inputs", tmp_path / "bundle/golden/inputs.npz")


def test_a_compiler_takes_them(kind: str, path: Path, tmp_path: Path) -> None:
    good("compile", path, "--target", "onnxruntime", "-o", tmp_path / "bundle")


def test_they_survive_a_file(kind: str, tmp_path: Path) -> None:
    model = from_proto(MODELS[kind])
    inputs = make_inputs(model)
    save_vectors(tmp_path / "x.npz", inputs)
    given = read_given([str(tmp_path / "x.npz")], model).values
    assert flat(given).keys() == flat(inputs).keys()
    for name, array in flat(given).items():
        np.testing.assert_array_equal(array, flat(inputs)[name])
    first, again = Session(MODELS[kind]).run(inputs), Session(MODELS[kind]).run(given)
    for name, array in flat(first).items():
        np.testing.assert_array_equal(array, flat(again)[name])


def test_a_map_is_made_of_keys_that_its_reader_knows() -> None:
    made = make_inputs(from_proto(MODELS["map with numbers as keys in"]))["d"]
    assert set(made) <= {5, 6, 900}
    assert made


def test_an_optional_without_a_value_and_an_empty_sequence_survive(tmp_path: Path) -> None:
    tensor = Port("q", "tensor", np.dtype(np.float32))
    ports = {"o": Port("o", "optional", inner=tensor), "q": Port("q", "seq", inner=tensor)}
    save_vectors(tmp_path / "x.npz", {"o": None, "q": []})
    assert load_vectors(tmp_path / "x.npz", ports) == {"o": None, "q": []}


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("map in", [1, 2], r"input 'd' takes map\(string, float32\[\]\): give an object"),
        ("map in", {"a": [1]}, r"a map holds single values, not shape \[1\]"),
        ("map in", {"a": "x"}, "input 'd' takes"),
        ("map with numbers as keys in", {"a": 1}, "key 'a' is no whole number"),
        ("sequence in and out", {"a": 1}, "give a list"),
        ("sequence in and out", [[1], ["a"]], "input 'q' takes"),
    ],
)
def test_what_they_are_not_is_said(kind: str, value: Any, says: str) -> None:
    port = Port.of(MODELS[kind].graph.input[0])
    with pytest.raises(InputError, match=says):
        typed(value, port)


def test_a_sequence_with_a_gap_is_said_so(tmp_path: Path) -> None:
    port = Port("q", "seq", inner=Port("q", "tensor", np.dtype(np.float32)))
    np.savez(tmp_path / "x.npz", **{"q/length": np.array(10**15), "q/0": np.zeros(1)})
    with pytest.raises(InputError, match="there is no 'q/1'"):
        load_vectors(tmp_path / "x.npz", {"q": port})
