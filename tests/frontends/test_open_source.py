"""How a frontend is chosen, and what the ONNX one reads."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import onnx
import pytest

import regraft
from regraft.bundling import write_bundle
from regraft.errors import ModelError, PassError, UnknownNameError
from regraft.frontends.onnx import Onnx
from regraft.pipelines.frontend import Frontend, FrontendError, ImportOptions
from regraft.pipelines.registry import frontends
from regraft.wording import count


class Other(Frontend):
    """Reads whatever ends in .other or .onnx."""

    name = "other"
    formats = "a file of another kind"
    extra = "another"
    options = frozenset({"shapes"})

    def accepts(self, source: Path) -> bool:
        return source.suffix in (".other", ".onnx")

    def read(self, source: Path, options: ImportOptions) -> regraft.Model:
        importlib.import_module("a_framework_that_is_not_there")

        raise AssertionError


@pytest.fixture
def other(monkeypatch):
    """A second frontend, whose framework is not installed."""
    monkeypatch.setattr(frontends, "_added", {})
    frontends.add("other", Other, "a test")


@pytest.fixture
def model(artifacts) -> Path:
    return artifacts / "pytorch" / "bert-cls-eager-dynamo.onnx"


def test_a_file_a_folder_and_a_file_of_any_name(model, tmp_path):
    shutil.copy(model, tmp_path / "model.onnx")
    shutil.copy(model, tmp_path / "without-a-suffix")
    sources = [tmp_path / "model.onnx", tmp_path / "without-a-suffix", tmp_path, str(tmp_path)]
    assert [len(regraft.open_source(source).graph.nodes) for source in sources] == [97] * 4


def test_a_bundle(model, tmp_path):
    loaded = regraft.load(model)
    regraft.run(loaded, "externalize-mask")
    write_bundle(loaded, tmp_path / "bundle")
    assert regraft.open_source(tmp_path / "bundle").host is not None


def test_the_opset_is_converted_where_the_frontend_writes_another(model):
    assert regraft.open_source(model, options=ImportOptions(opset=18)).opset == 18
    with pytest.raises(PassError, match="opset 99"):
        regraft.open_source(model, options=ImportOptions(opset=99))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda proto: setattr(proto, "ir_version", 63), "IR version 63; onnx"),
        (lambda proto: setattr(proto.opset_import[0], "version", 99), "opset 99; onnx"),
    ],
)
def test_versions_that_cannot_be_read(model, tmp_path, change, what):
    proto = onnx.load(model)
    change(proto)
    path = tmp_path / "new.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(FrontendError, match="which is installed, reads up to") as raised:
        regraft.open_source(path)
    assert what in str(raised.value)


def test_nothing_there(tmp_path):
    with pytest.raises(ModelError, match="nowhere: No such file or directory"):
        regraft.open_source(tmp_path / "nowhere")


def test_a_name_that_is_no_path(tmp_path):
    for name, why in (("x" * 10_000, "File name too long"), ("zero\0byte", "embedded null byte")):
        with pytest.raises(ModelError, match=why):
            regraft.open_source(tmp_path / name)


def test_a_file_that_may_not_be_read(model, monkeypatch):
    def refuse(self: Onnx, source: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Onnx, "accepts", refuse)
    with pytest.raises(ModelError, match=r"cannot read .*\.onnx: Permission denied"):
        regraft.open_source(model)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ((), "is an empty folder, which no frontend knows"),
        (("config.json", "weights.bin"), "is a folder with config.json, weights.bin, which no frontend knows"),
        (tuple("abcdefg"), "is a folder with a, b, c, d, e, ..., which"),
    ],
)
def test_a_source_that_nobody_knows(tmp_path, names, what):
    for name in names:
        (tmp_path / name).write_text("what is this")
    with pytest.raises(FrontendError) as raised:
        regraft.open_source(tmp_path)
    assert what in str(raised.value)
    assert all(f"{name}: {frontends.load(name).formats}" in str(raised.value) for name in ("mxnet", "onnx"))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08", bytes(range(1, 200))])
def test_a_file_that_nobody_knows(tmp_path, content):
    path = tmp_path / "thing"
    path.write_bytes(content)
    with pytest.raises(
        FrontendError, match="an empty file" if not content else f"a file of {count(len(content), 'byte')},"
    ):
        regraft.open_source(path)


def test_several_models_in_a_folder(model, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("a.onnx", "b.onnx"):
        shutil.copy(model, tmp_path / name)
    with pytest.raises(FrontendError, match=r"several models: a\.onnx, b\.onnx; name one"):
        regraft.open_source(tmp_path)
    with pytest.raises(FrontendError, match=r"no \.onnx file"):
        regraft.open_source(empty, "onnx")


def test_a_source_that_two_frontends_know(model, other):
    with pytest.raises(FrontendError, match=r"the frontends onnx and other; say which by --frontend"):
        regraft.open_source(model)
    assert regraft.open_source(model, "onnx").opset == 20


def test_a_framework_that_is_not_installed(tmp_path, other):
    (tmp_path / "x.other").write_text("")
    with pytest.raises(FrontendError, match=r"needs a_framework_that_is_not_there.*pip install 'regraft\[another\]'"):
        regraft.open_source(tmp_path / "x.other")


def test_options_that_the_frontend_does_not_take(model):
    with pytest.raises(FrontendError, match="frontend 'onnx': no option named 'task'; known: opset, shapes, trust"):
        regraft.open_source(model, options=ImportOptions(task="masked-lm"))


def test_shapes_that_the_frontend_does_not_take_are_set_by_the_pass(model):
    opened = regraft.open_source(model, options=ImportOptions({"batch": (1,), "sequence": (8,)}))
    assert [tensor.shape for tensor in opened.inputs] == [[1, 8]] * 3
    assert opened.metadata["regraft.pipeline"] == "set-shapes{batch=1,sequence=8}"
    with pytest.raises(PassError, match=r"no input or dimension named 'bach'; did you mean 'batch'.*known: .*seq"):
        regraft.open_source(model, options=ImportOptions({"bach": (1,)}))


def test_a_frontend_that_does_not_exist(model):
    with pytest.raises(UnknownNameError, match="did you mean 'onnx'"):
        regraft.open_source(model, "onx")


def test_every_frontend_is_described():
    for name in frontends.names():
        found = frontends.load(name)
        assert found.name == name
        assert found.help().endswith(".")
        assert found.formats


def test_a_saved_model_is_not_taken_for_an_onnx_file(tmp_path):
    path = tmp_path / "saved_model.pb"
    path.write_bytes(b"\x08\x01\x12\x10")
    assert not Onnx().accepts(path)
