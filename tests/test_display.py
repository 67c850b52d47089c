"""The functions of the Python interface take models or paths, and what they return shows itself."""

from __future__ import annotations

import html.parser
import shutil
from pathlib import Path

import pytest

import regraft
from regraft.display import Displayed, Table

BERT = Path(__file__).parent / "artifacts/pytorch/transformers-4.25.1-bert-qa/model.onnx"
SIZED = "neuron-inf1{input_ids=1x16,attention_mask=1x16,token_type_ids=1x16}"


@pytest.fixture
def path(tmp_path) -> Path:
    return Path(shutil.copy(BERT, tmp_path / "model.onnx"))


class Tags(html.parser.HTMLParser):
    """The text of a page whose tags are closed in turn."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.text = [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


class Shown(Displayed):
    def display(self):
        yield "a <line> of \x1b[31mtext"
        yield Table("counts", [("a<b", 1), ("c", 200)], ("name", "n"), (1,))
        yield Table("nothing", [])


def test_text_and_page_show_the_same():
    assert str(Shown()).splitlines() == [
        "a <line> of \\x1b[31mtext",
        "counts:",
        "  name    n",
        "  a<b     1",
        "  c     200",
    ]
    assert repr(Shown()) == str(Shown())
    assert Tags(Shown()._repr_html_()).text == [
        "a <line> of \\x1b[31mtext",
        *("counts", "name", "n", "a<b", "1", "c", "200"),
    ]


def test_check_says_what_is_not_taken(path):
    found = regraft.check(path, SIZED)
    assert not found.legal
    assert "lower-erf or lower-erf{form=tanh}" in str(found)
    assert found.share.taken < found.share.nodes
    assert regraft.check(str(path), "onnxruntime").legal


def test_legalize_gives_the_model(path):
    before = path.read_bytes()
    done = regraft.legalize(path, SIZED)
    assert done.legal
    assert regraft.check(done.model, SIZED).legal
    assert f"pipeline: {done.pipeline}" in str(done)
    assert path.read_bytes() == before


def test_verify_proves_where_asked(path):
    model = regraft.load(path)
    report = regraft.run(model, "fuse-gelu")
    found = regraft.verify(path, model, prove=regraft.prove_models)
    assert found.passed
    assert found.places
    assert {place.outcome for place in found.places} == {"proved"}
    assert found.summary.startswith(f"{len(found.places)} of {len(found.places)} places proved")
    assert report.changed
    assert regraft.verify(path, path).places is None
    assert regraft.compare is regraft.verify


def test_diff_takes_paths(path):
    model = regraft.load(path)
    assert regraft.diff(path, model).same
    regraft.run(model, "fuse-gelu")
    assert not regraft.diff(path, model).same


def test_compile_says_where_the_bundle_is(path, tmp_path):
    done = regraft.compile(path, "onnxruntime", tmp_path / "bundle")
    assert done.folder == tmp_path / "bundle"
    assert "compiled by onnxruntime" in str(done)


def test_a_model_shows_itself(path):
    model = regraft.load(path)
    assert "  input_ids       int64[batch, sequence]" in str(model).splitlines()
    assert "  17  MatMul" in str(model).splitlines()
    assert repr(model) == f"<Model {path}: 224 nodes, opset 11>"
    assert {"input_ids", "MatMul", "17"} <= set(Tags(model._repr_html_()).text)


def test_a_report_shows_itself(path):
    report = regraft.run(regraft.load(path), "strip-dropout,fuse-gelu", verify="final")
    first, title, head, *passes = str(report).splitlines()
    assert first == report.verdict
    assert title == "passes:"
    assert head.split("  ")[1] == "pass"
    assert [line.split()[0] for line in passes] == ["strip-dropout", "fuse-gelu"]
    assert "2 erf" in passes[1]
    assert repr(report) == str(report)
