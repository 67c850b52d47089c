"""Nodes, tensors and types read from their bytes are those that their messages give."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

import regraft
from regraft.errors import RegraftError
from regraft.files import wire
from regraft.files.convert import clone
from regraft.files.importer import import_model
from regraft.files.parts import of_message
from regraft.files.saving import to_proto
from regraft.files.sources import Sources
from regraft.ir.graph import AnyGraph, Constant, Graph, TypedList
from regraft.ir.model import Model
from regraft.ir.weights import Held, Source, Sparse
from regraft.models.backend_cases import read, sources

ARTIFACTS = sorted((Path(__file__).parents[1] / "artifacts").rglob("*.onnx"))
FLOAT = TensorProto.FLOAT


def seen(model: Model) -> list[Any]:
    """All that `model` holds, as plain values."""
    roots = [(root, list(graph(root))) for root in model.roots]
    model_fields = [model.header, model.metadata, model.claims, model.opset, model.graph.ir_version]
    return [*model_fields, model.graph.producer_name, *[facts for _, facts in roots]]


def graph(graph: AnyGraph) -> Iterator[Any]:
    yield graph.name, graph.doc_string, graph.opset, graph.import_domains, graph.extra
    yield [tensor(t) for t in (*graph.inputs, *graph.outputs, *graph.unused)]
    for node in graph.nodes:
        attrs = [(name, attribute(value)) for name, value in node.attrs.items()]
        yield node.op, node.name, node.domain, node.overload, node.doc_string, node.metadata, node.extra, attrs
        yield [tensor(t) for t in (*node.inputs, *node.outputs)]
    if not isinstance(graph, Graph):
        yield graph.domain, graph.overload, [(name, attribute(value)) for name, value in graph.attrs.items()]


def tensor(value: Any) -> Any:
    links = sorted(n.name for n in value.inputs), sorted(n.name for n in value.outputs)
    if isinstance(value, Constant):
        return value.name, value.order, value.dtype, value.shape, isinstance(value.lazy, Sparse), elements(value), links
    default = value.default and tensor(value.default)
    return value.name, value.dtype, value.shape, value.type, value.info, default, value.promised, links


def elements(constant: Constant) -> Any:
    values = constant.values
    return values.tolist() if values.dtype == object else values.tobytes()


def attribute(value: Any) -> Any:
    if isinstance(value, Constant):
        return value.name, value.dtype, value.shape, elements(value)
    if isinstance(value, Graph):
        return list(graph(value))
    if isinstance(value, TypedList):
        return "empty", value.type
    if isinstance(value, list):
        return [attribute(item) for item in value]
    return type(value), value.SerializeToString(deterministic=True) if isinstance(value, Message) else repr(value)


def by_message(path: Path) -> Model:
    """The model in the file at `path`, read by nothing but its message."""
    source = Source(path)
    proto = ModelProto.FromString(wire.strip(source))
    return import_model(proto, of_message(proto.graph), path, Sources(path, source).value)


def read_or_refused(reader: Callable[[Path], Model], path: Path) -> Model | RegraftError:
    try:
        return reader(path)
    except RegraftError as error:
        return error


def compare(data: bytes, path: Path) -> Model | None:
    """Assert that the file `data` reads as its message does, or is refused as it is; the model."""
    path.write_bytes(data)
    expected, model = (read_or_refused(reader, path) for reader in (by_message, regraft.load))
    if isinstance(expected, RegraftError):
        assert (type(model), str(model)) == (type(expected), f"{path}: {expected}")
        return None
    assert isinstance(model, Model), model
    assert seen(model) == seen(expected)
    assert to_proto(model) == to_proto(expected)
    assert seen(clone(model)) == seen(model)
    assert to_proto(clone(model)) == to_proto(model)
    return model


@pytest.mark.parametrize("path", ARTIFACTS, ids=lambda p: p.stem)
def test_exported_models(path: Path, tmp_path: Path) -> None:
    assert compare(onnx.load(path).SerializeToString(), tmp_path / "m.onnx") is not None


@pytest.mark.parametrize("part", range(4))
def test_backend_cases(part: int, tmp_path: Path) -> None:
    found = [compare(read(name).model.SerializeToString(), tmp_path / "m.onnx") for name in sorted(sources())[part::40]]
    assert sum(model is not None for model in found) > 0.9 * len(found)


# ------------------------------------------------------------------------------------------------ odd models

NAMES = ["", "x", "y", "z", "w", "é", "n" * 130, "m" * 17000]
WORDS = st.sampled_from(["", "a", "ü", "b" * 127, "b" * 128, "c" * 2000])
UNKNOWN = b"\xfa\x3e\x03abc"  # field 1007


@st.composite
def tensors(draw: st.DrawFn, name: str) -> TensorProto:
    made = draw(
        st.sampled_from(
            [
                numpy_helper.from_array(np.float32(0.5)),
                numpy_helper.from_array(np.arange(6).reshape(2, 3)),
                numpy_helper.from_array(np.arange(600, dtype=np.float32)),
                numpy_helper.from_array(np.zeros((0, 3), np.float16)),
                numpy_helper.from_array(np.array(["a", "é"], object)),
                helper.make_tensor("", TensorProto.BFLOAT16, [3], [1.0, 2.0, 3.0]),
                helper.make_tensor("", TensorProto.INT4, [3], [1, -2, 3]),
                helper.make_tensor("", TensorProto.INT32, [2], [1, 2]),
                helper.make_tensor("", TensorProto.FLOAT, [300], np.ones(300)),
                TensorProto(dims=[2], data_type=TensorProto.FLOAT, raw_data=b"\0" * 7),
                TensorProto(dims=[-1], data_type=TensorProto.INT64, raw_data=b""),
                TensorProto(dims=[1], data_type=99, raw_data=b"\0"),
                TensorProto(dims=[1], data_type=TensorProto.STRING, raw_data=b"a"),
            ]
        )
    )
    tensor = TensorProto()
    tensor.CopyFrom(made)
    if name or draw(st.booleans()):
        tensor.name = name
    if draw(st.integers(0, 9)) == 0:
        tensor.doc_string = draw(WORDS)
    if draw(st.integers(0, 9)) == 0:
        tensor.MergeFromString(UNKNOWN)
    return tensor


@st.composite
def attributes(draw: st.DrawFn, name: str, depth: int) -> AttributeProto:
    kinds: list[Any] = [3, -1, 0.5, -0.0, "text", b"\xff", [1, 2], [0.5], ["a", "b"]]
    choice = draw(st.integers(0, len(kinds) + 7))
    if choice < len(kinds):
        made = helper.make_attribute(name, kinds[choice])
    else:
        made = AttributeProto(name=name)
        match choice - len(kinds):
            case 0:
                made.type = AttributeProto.INTS
            case 1:
                made.type = draw(st.sampled_from([AttributeProto.STRINGS, AttributeProto.GRAPHS, 0]))
            case 2:
                made.ref_attr_name, made.type = "outer", AttributeProto.FLOAT
            case 3:
                made.type = AttributeProto.TYPE_PROTO
                made.tp.CopyFrom(helper.make_tensor_type_proto(FLOAT, ["?", 2]))
            case 4:
                made.type = AttributeProto.TENSORS
                made.tensors.append(draw(tensors("one")))
            case 5 if depth < 2:
                made.type = AttributeProto.GRAPH
                made.g.CopyFrom(draw(graphs(depth + 1)))
            case _:
                made.type = AttributeProto.TENSOR
                made.t.CopyFrom(draw(tensors(draw(st.sampled_from(["", "value"])))))
    if draw(st.integers(0, 9)) == 0:
        made.doc_string = "of the attribute"
    return made


@st.composite
def nodes(draw: st.DrawFn, depth: int) -> NodeProto:
    names = st.lists(st.sampled_from(NAMES), max_size=3)
    made = NodeProto(op_type=draw(st.sampled_from(["Add", "Constant", "Reluu", "F", ""])), input=draw(names))
    made.output.extend(draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)))
    for field in ("name", "doc_string", "domain", "overload"):
        if draw(st.integers(0, 2)) == 0:
            setattr(made, field, draw(st.sampled_from(["ai.onnx", "my", ""]) if field == "domain" else WORDS))
    for index in range(draw(st.integers(0, 2))):
        made.attribute.append(draw(attributes(f"a{index}", depth)))
    for _ in range(draw(st.integers(0, 2))):
        made.metadata_props.add(key=draw(WORDS), value=draw(WORDS))
    if draw(st.integers(0, 9)) == 0:
        made.device_configurations.add(configuration_id="c")
    if draw(st.integers(0, 9)) == 0:
        made.MergeFromString(UNKNOWN)
    return made


@st.composite
def graphs(draw: st.DrawFn, depth: int = 0) -> GraphProto:
    made = GraphProto(name="g", node=draw(st.lists(nodes(depth), max_size=4)))
    if made.node and draw(st.booleans()):
        made.node.append(made.node[0])  # alike, and it makes the same again
        del made.node[-1].output[:]
    for name in draw(st.lists(st.sampled_from(NAMES[1:]), max_size=3, unique=True)):
        made.initializer.append(draw(tensors(name)))
    for field in (made.input, made.output, made.value_info):
        for name in draw(st.lists(st.sampled_from(NAMES[1:]), max_size=3)):
            info = field.add(name=name)
            shape = draw(st.sampled_from([None, [], ["n", 4], ["?", -1], [2**40]]))
            match draw(st.integers(0, 6)):
                case 0:
                    info.type.sequence_type.elem_type.CopyFrom(helper.make_tensor_type_proto(FLOAT, shape))
                case 1 | 2:
                    info.doc_string = draw(WORDS)
                    if draw(st.booleans()):
                        info.type.CopyFrom(helper.make_tensor_type_proto(FLOAT, shape))
                    if draw(st.booleans()):
                        info.metadata_props.add(key="k", value=draw(WORDS))
                case 3:
                    info.type.CopyFrom(helper.make_tensor_type_proto(draw(st.sampled_from([0, 1, 7, 99])), shape))
                    info.type.denotation = draw(st.sampled_from(["", "IMAGE"]))
                case _:
                    info.type.CopyFrom(helper.make_tensor_type_proto(FLOAT, shape))
    if draw(st.booleans()):
        made.quantization_annotation.add(tensor_name="x").quant_parameter_tensor_names.add(key="SCALE", value="s")
        made.metadata_props.add(key="k", value="v")
    return made


INSIDE = {"model": {7: "graph"}, "graph": {1: "node", 5: "tensor", 13: "info"}}
"""Fields, by their numbers, that `rewritten` goes into."""


def rewritten(data: bytes, chance: random.Random, kind: str = "model") -> bytes:
    """The same message, as another writer could put it: in another order, with longer numbers, the graph in two."""
    found = []
    for number, wire_type, begin, value, end in wire.fields(data, 0, len(data)):
        if wire_type != 2 or (chance.random() < 0.6 and number not in INSIDE.get(kind, ())):
            found.append(data[begin:end])
            continue
        inner = data[value:end]
        if number in INSIDE.get(kind, ()):
            inner = rewritten(inner, chance, INSIDE[kind][number])
        parts = [inner]
        if kind == "model" and number == 7 and chance.random() < 0.3:
            cuts = [0, *(stop for *_, stop in wire.fields(inner, 0, len(inner)))]
            cut = chance.choice(cuts)
            parts = [inner[:cut], inner[cut:]]
        found += [longer(number << 3 | 2, chance) + longer(len(part), chance) + part for part in parts]
    if kind != "graph" and chance.random() < 0.3:
        chance.shuffle(found)
    return b"".join(found)


def longer(value: int, chance: random.Random) -> bytes:
    short = wire._varint(value)
    return short if chance.random() < 0.8 else short[:-1] + bytes([short[-1] | 0x80, 0x80, 0])


@settings(max_examples=150, deadline=None)
@given(graph=graphs(), version=st.sampled_from([3, 10]), opset=st.sampled_from([None, 7, 21]), seed=st.integers(0, 99))
def test_odd_models(
    tmp_path_factory: pytest.TempPathFactory, graph: GraphProto, version: int, opset: int | None, seed: int
) -> None:
    proto = ModelProto(ir_version=version, graph=graph)
    if opset:
        proto.opset_import.add(version=opset)
    path = tmp_path_factory.getbasetemp() / "odd" / "m.onnx"
    path.parent.mkdir(exist_ok=True)
    compare(proto.SerializeToString(), path)
    compare(rewritten(proto.SerializeToString(), random.Random(seed)), path)


def test_a_type_that_says_nothing_takes_nothing_away(tmp_path: Path) -> None:
    typed = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([helper.make_node("Add", [], ["x"])], "g", [typed], [])
    graph.value_info.append(helper.make_tensor_value_info("x", 0, None))  # an input that a node makes, too
    assert compare(ModelProto(ir_version=3, graph=graph).SerializeToString(), tmp_path / "m.onnx")


# ------------------------------------------------------------------------------------------------ what is shared


def test_nodes_of_equal_bytes_share_nothing_that_can_change(tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.float32(1))
    made = [helper.make_node("Transpose", ["x"], [f"t{i}"], perm=[1, 0]) for i in range(2)]
    made += [helper.make_node("Constant", [], [f"c{i}"], value=value) for i in range(2)]
    empty = [helper.make_node("F", [], [f"f{i}"], domain="d") for i in range(2)]
    for node in empty:
        node.attribute.add(name="axes", type=AttributeProto.INTS)
        node.metadata_props.add(key="k", value="v")
    proto = helper.make_model(helper.make_graph([*made, *empty], "g", [], []), ir_version=10)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    model = regraft.load(tmp_path / "m.onnx")
    first, second, *constants = model.graph.nodes[:4]
    first.attrs["perm"].append(2)
    assert second.attrs["perm"] == [1, 0]
    one, other = (node.attrs["value"] for node in constants)
    assert isinstance(one.lazy, Held)
    assert one.lazy is other.lazy
    one.values = np.float32(2) * np.ones(2, np.float32)
    one.name = "changed"
    assert (other.values, other.shape, other.name) == (1, (), "")
    with pytest.raises(ValueError, match="read-only"):
        other.values[...] = 3
    one, other = model.graph.nodes[4:]
    one.attrs["axes"].append(1)
    one.metadata["k"] = "changed"
    assert (other.attrs["axes"], other.metadata) == ([], {"k": "v"})


@pytest.mark.parametrize("shape", [[], [2]])
def test_values_of_equal_types_have_shapes_of_their_own(tmp_path: Path, shape: list[int]) -> None:
    made = [helper.make_node("Relu", ["x"], [name]) for name in "ab"]
    infos = [helper.make_tensor_value_info(name, FLOAT, shape) for name in "ab"]
    proto = helper.make_model(helper.make_graph(made, "g", [], [], value_info=infos), ir_version=10)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    one, other = (node.outputs[0] for node in regraft.load(tmp_path / "m.onnx").graph.nodes)
    one.shape.append(3)
    assert other.shape == shape


def test_a_clone_shares_nothing_that_can_change(tmp_path: Path) -> None:
    model = regraft.load(next(path for path in ARTIFACTS if path.stem == "bert-cls-sdpa-dynamo"))
    before, copied = to_proto(model), clone(model)
    for node in copied.nodes():
        node.metadata["new"] = "changed"
        for value in node.attrs.values():
            if isinstance(value, list):
                value.append(value[0])
        for tensor in (*node.inputs, *node.outputs):
            tensor.name += "_changed"
            if tensor.shape and not isinstance(tensor, Constant):
                tensor.shape[0] = 7
    copied.graph.nodes[0].inputs.clear()
    del copied.graph.nodes[5:]
    assert to_proto(model) == before
