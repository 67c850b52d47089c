"""The files of MXNet: every form of .params, which belongs to which, and what is wrong with a broken one."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import regraft
from regraft.errors import RegraftError
from regraft.files.saving import save
from regraft.frontends.mxnet.files import find_files
from regraft.frontends.mxnet.params import read_params
from regraft.ir.graph import Constant
from regraft.ir.weights import Stored
from regraft.pipelines.frontend import FrontendError, ImportOptions
from regraft.verification.runtime import Session
from tests.frontends.symbols import DTYPES, OLDEST, V1, V2, V3, Net, every_dtype, params

SHAPES = ImportOptions({"x": ("batch", 4)})


def small(folder: Path, **how) -> Path:
    """A model of one layer, x Wᵀ + b."""
    net = Net()
    x, w, b = net.input("x"), net.param("w", np.ones((3, 4), np.float32)), net.param("b", np.arange(3, dtype="f4"))
    return net.save(folder, net("FullyConnected", x, w, b, name="dense", num_hidden=3), **how)


# ------------------------------------------------------------------------------------------------------- .params


@pytest.mark.parametrize("magic", [V2, V3, V1, OLDEST], ids=["V2", "V3", "V1", "oldest"])
@pytest.mark.parametrize("prefix", ["arg:", "aux:", ""])
def test_every_form_and_dtype(tmp_path, magic, prefix):
    path = tmp_path / "x.params"
    path.write_bytes(params(every_dtype(), magic, prefix))
    found = read_params(path)
    assert list(found) == list(every_dtype())
    for name, expected in every_dtype().items():
        assert isinstance(found[name], Stored)
        assert found[name].load().dtype == expected.dtype
        assert found[name].load().tobytes() == expected.tobytes()
        assert found[name].load().shape == expected.shape


@pytest.mark.parametrize("magic", [V1, V2, V3])
def test_arrays_without_a_value_are_left_out(tmp_path, magic):
    path = tmp_path / "x.params"
    path.write_bytes(params({"none": None, "one": np.ones(2, np.float32)}, magic))
    assert list(read_params(path)) == ["one"]


def test_a_scalar(tmp_path):
    path = tmp_path / "x.params"
    path.write_bytes(params({"scalar": np.float32(3)}, V3))
    assert read_params(path)["scalar"].load() == 3


def test_every_truncation_is_said_in_one_line(tmp_path):
    path = tmp_path / "x.params"
    whole = params({"one": np.ones((2, 2), np.float32), "two": np.ones(3, np.int8)})
    for length in range(8, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FrontendError, match=r"x\.params is truncated: \d+ bytes, needed up to byte \d+"):
            read_params(path)


@given(st.integers(0, 150), st.binary(min_size=1, max_size=8))
def test_damage_is_read_or_refused(tmp_path_factory, at, damage):
    path = tmp_path_factory.mktemp("damage") / "x.params"
    whole = params({"one": np.ones((2, 2), np.float32), "two": np.ones(3, np.int8)})
    path.write_bytes(whole[:at] + damage + whole[at + len(damage) :])
    with contextlib.suppress(RegraftError):
        read_params(path)


def patched(offset: int, form: str, value: int) -> bytes:
    """The file of one array `[2, 2]`, with a number written over."""
    data = bytearray(params({"one": np.ones((2, 2), np.float32)}))
    struct.pack_into(form, data, offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (patched(28, "<i", 1), "row_sparse storage (type 1); save it dense"),
        (patched(28, "<i", 2), "csr storage"),
        (patched(28, "<i", 9), "unknown storage (type 9)"),
        (patched(60, "<i", 77), "dtype 77"),
        (patched(24, "<I", 0xDEADBEEF), "neither a known magic nor a rank"),
        (patched(32, "<i", -4), "neither a known magic nor a rank"),
        (patched(36, "<q", -2), "shape [-2, 2]"),
        (patched(0, "<Q", 7), "does not start with 0x112"),
        (patched(16, "<Q", 2**40), "array 1 has dtype"),
        (b"", "does not start with 0x112"),
        (b"hello", "does not start with 0x112"),
        (params({"one": np.ones(2, np.float32)})[:-23] + struct.pack("<Q", 0), "1 array and 0 names"),
        (patched(len(params({"one": np.ones((2, 2), np.float32)})) - 1, "<B", 0xFF), "a name is not UTF-8"),
    ],
)
def test_a_broken_file(tmp_path, content, what):
    path = tmp_path / "x.params"
    path.write_bytes(content)
    with pytest.raises(FrontendError) as raised:
        read_params(path)
    assert what in str(raised.value)
    assert str(path) in str(raised.value)


def test_weights_stay_in_their_file(tmp_path):
    model = regraft.open_source(small(tmp_path), options=SHAPES)
    weights = {t.name: t for node in model.graph.nodes for t in node.inputs if isinstance(t, Constant)}
    assert isinstance(weights["w"].lazy, Stored)
    assert weights["w"].lazy.source.path == tmp_path / "model-0000.params"
    save(model, tmp_path / "out.onnx", "reference")
    assert weights["b"].values.tolist() == [0, 1, 2]


# ------------------------------------------------------------------------------------------------------- which files


def test_the_folder_the_graph_and_the_parameters_name_the_same_model(tmp_path):
    folder = small(tmp_path / "m", prefix="bert", epoch=3)
    symbol, arrays = folder / "bert-symbol.json", folder / "bert-0003.params"
    for source in (folder, symbol, arrays):
        assert find_files(source) == (symbol, (arrays,))
        assert regraft.open_source(source, options=SHAPES).metadata["regraft.source"] == (
            "MXNet 1.9.1: bert-symbol.json, bert-0003.params"
        )


def test_the_highest_epoch_unless_one_is_named(tmp_path):
    for epoch in (0, 2, 10):
        small(tmp_path, epoch=epoch)
    assert find_files(tmp_path).arrays == (tmp_path / "model-0010.params",)
    assert find_files(tmp_path / "model-0002.params").arrays == (tmp_path / "model-0002.params",)


def test_parameters_of_another_name_when_they_are_the_only_ones(tmp_path):
    small(tmp_path)
    (tmp_path / "model-0000.params").rename(tmp_path / "sst.params")
    for source in (tmp_path, tmp_path / "sst.params"):
        assert find_files(source) == (tmp_path / "model-symbol.json", (tmp_path / "sst.params",))


def test_embeddings_beside_the_parameters_are_read_too(tmp_path):
    small(tmp_path)
    arrays = {"w": np.ones((3, 4), np.float32)}
    (tmp_path / "model-0000.params").write_bytes(params({"b": np.zeros(3, np.float32)}))
    (tmp_path / "model-0000.embeddings").write_bytes(params(arrays, prefix=""))
    assert "w" in {t.name for n in regraft.open_source(tmp_path, options=SHAPES).graph.nodes for t in n.inputs}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda f: (f / "model-0000.params").unlink(), "model-0000.params beside it is needed, and there is none"),
        (lambda f: small(f, prefix="other"), "there are model-symbol.json, other-symbol.json; name one"),
        (lambda f: (f / "model-symbol.json").write_text("{}"), "is no symbol.json of MXNet: KeyError 'nodes'"),
        (lambda f: (f / "model-symbol.json").write_text('{"nodes": '), "is no symbol.json of MXNet: Expecting value"),
        (lambda f: (f / "model-symbol.json").write_bytes(b"\xff\xfe"), "cannot read"),
        (lambda f: (f / "model-symbol.json").write_text('{"nodes": [1], "heads": []}'), "is no symbol.json"),
        (lambda f: rewire(f), "node 9 is read before it is made"),
        (lambda f: (f / "model-0000.params").write_bytes(params({})), "parameters without a value: w, b"),
        (
            lambda f: (f / "model-0000.params").write_bytes(params({"w": None, "b": np.zeros(3, "f4")})),
            "parameters without a value: w;",
        ),
        (
            lambda f: (f / "model-0000.params").write_bytes(
                params({"w": np.ones((3, 9), "f4"), "b": np.ones(3, "f4")})
            ),
            "node 'dense' (Gemm)",
        ),
    ],
)
def test_what_is_missing_or_broken(tmp_path, change, what):
    change(small(tmp_path))
    with pytest.raises(FrontendError) as raised:
        regraft.open_source(tmp_path, options=SHAPES)
    assert what in str(raised.value)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def rewire(folder: Path) -> None:
    path = folder / "model-symbol.json"
    content = json.loads(path.read_text())
    content["nodes"][3]["inputs"][0] = [9, 0, 0]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("key", ["attr", "param"])
def test_attributes_as_old_versions_call_them(tmp_path, key):
    path = small(tmp_path) / "model-symbol.json"
    path.write_text(path.read_text().replace('"attrs": {"num_hidden"', f'"{key}": {{"num_hidden"'))
    assert regraft.open_source(path, options=SHAPES).graph.nodes[0].op == "Gemm"


# ------------------------------------------------------------------------------------------------------- inputs


def test_shapes_that_nobody_says_are_asked_for_all_at_once(tmp_path):
    net = Net()
    net("elemwise_add", net.input("ids"), net.input("types"))
    with pytest.raises(
        FrontendError, match=r"shape of ids, types; give each, as in --shape ids=8x64 --shape types=8x64"
    ):
        regraft.open_source(net.save(tmp_path))


def test_a_shape_that_the_graph_says(tmp_path):
    net = Net()
    net("sqrt", net.input("x", __shape__="(0, 4)", __dtype__="2"), name="root")
    model = regraft.open_source(net.save(tmp_path))
    assert (model.inputs[0].shape, model.inputs[0].dtype) == (["x_0", 4], np.float16)
    assert (model.outputs[0].shape, model.outputs[0].dtype) == (["x_0", 4], np.float16)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_model_in_another_precision(tmp_path, dtype):
    to = getattr(ml_dtypes, dtype, dtype)
    net = Net()
    x = net("elemwise_add", net.input("x", __dtype__=str(DTYPES[dtype])), net.param("c", np.ones(4, to)))
    net("_mul_scalar", x, name="half", scalar=0.5)
    model = regraft.open_source(net.save(tmp_path), options=ImportOptions({"x": (4,)}))
    assert model.outputs[0].dtype == np.dtype(to)
    loaded = regraft.load(regraft.save(model, tmp_path / "out.onnx"))
    constants = [t.values for n in loaded.graph.nodes for t in n.inputs if isinstance(t, Constant)]
    assert [(str(c.dtype), float(c.flat[0])) for c in constants] == [(dtype, 1), (dtype, 0.5)]


def test_a_shape_of_no_input(tmp_path):
    with pytest.raises(FrontendError, match=r"no input named 'y'; did you mean 'x'|no input named 'y'; known: x"):
        regraft.open_source(small(tmp_path), options=ImportOptions({"x": (2, 4), "y": (2,)}))


def test_a_parameter_without_a_value_is_an_input_when_it_has_a_shape(tmp_path):
    net = Net()
    x, w = net.input("x"), net.param("w", np.ones((3, 4), np.float32))
    net("FullyConnected", x, w, num_hidden=3, no_bias=True)
    net.arrays.clear()
    model = regraft.open_source(net.save(tmp_path), options=ImportOptions({"x": (2, 4), "w": (3, 4)}))
    assert [t.name for t in model.inputs] == ["x", "w"]


def test_all_operators_that_are_not_mapped_are_said_at_once(tmp_path):
    net = Net()
    x = net.input("x")
    for op in ("Convolution", "Pooling", "Convolution", "tanh"):
        x = net(op, x)
    with pytest.raises(FrontendError, match=r"not mapped to ONNX: Convolution \(2\), Pooling \(1\)$"):
        regraft.open_source(net.save(tmp_path), options=SHAPES)


# ------------------------------------------------------------------------------------------------------- names


def test_names_that_collide_or_repeat(tmp_path):
    net = Net()
    x, c = net.input("x"), net.param("axes", np.ones(4, np.float32))
    a = net("expand_dims", net("elemwise_add", x, c, name="twice"), name="twice", axis=0)
    b = net("expand_dims", a, name="axes_1", axis=0)
    model = regraft.open_source(net.save(tmp_path, b, a, a, x), options=ImportOptions({"x": (4,)}))
    names = [t.name for t in model.outputs]
    assert len(set(names)) == 4
    assert [t.name for t in model.inputs] == ["x"]
    assert names[0] == "axes_1_output"
    assert names[1].startswith("twice")
    outputs = Session(model).run({"x": np.zeros(4, np.float32)})
    assert [v.shape for v in outputs.values()] == [(1, 1, 4), (1, 4), (1, 4), (4,)]


def test_every_node_says_where_it_came_from(tmp_path):
    net = Net()
    net("LeakyReLU", net.input("x"), name="gelu0", act_type="gelu")
    nodes = regraft.open_source(net.save(tmp_path), options=SHAPES).graph.nodes
    assert len(nodes) > 1
    assert all(n.metadata == {"mxnet.op": "LeakyReLU", "mxnet.node": "gelu0"} for n in nodes)
    assert nodes[-1].name == "gelu0"
    assert all(n.name.startswith("gelu0/") for n in nodes[:-1])


def test_a_second_output_that_is_not_mapped(tmp_path):
    net = Net()
    x = net.input("x")
    net("tanh", [*x[:1], 1, 0])
    with pytest.raises(FrontendError, match="reads output 1 of 'x'"):
        regraft.open_source(net.save(tmp_path), options=SHAPES)
