"""What the TensorFlow frontend does without TensorFlow: it knows a SavedModel, and reads where its variables lie."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

import regraft
from regraft.errors import ModelError
from regraft.frontends.tensorflow import TensorFlow
from regraft.frontends.tensorflow.checkpoint import read_checkpoint
from regraft.pipelines.frontend import FrontendError

_TYPE_OF_LAST_BLOCK = -48 - 5  # before its checksum and the footer


@pytest.fixture
def saved(artifacts, tmp_path) -> Path:
    """A copy of a SavedModel of TensorFlow 1.15."""
    return Path(shutil.copytree(artifacts / "tensorflow" / "tiny_seq32", tmp_path / "saved"))


def test_what_is_a_saved_model(saved, tmp_path):
    (tmp_path / "empty").mkdir()
    sources = (saved, saved / "saved_model.pb", saved / "variables", tmp_path / "empty")
    assert [TensorFlow().accepts(source) for source in sources] == [True, True, False, False]


def test_variables_stay_in_their_file(saved, artifacts):
    found = read_checkpoint(saved / "variables" / "variables")
    assert len(found) == 42
    assert {str(value.dtype) for value in found.values()} == {"float32", "int64"}
    word = found["bert/embeddings/word_embeddings"]
    assert (word.shape, word.offset, word.source.path.name) == ((200, 64), 33792, "variables.data-00000-of-00001")
    converted = regraft.load(artifacts / "tensorflow" / "tiny_seq32_op18.onnx")
    tables = [t for node in converted.graph.nodes for t in node.inputs if list(t.shape or ()) == [200, 64]]
    np.testing.assert_array_equal(word.load(), tables[0].values)
    ranges = sorted((value.offset, value.offset + value.nbytes) for value in found.values())
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ranges))


def _cut_data(saved: Path) -> None:
    (saved / "variables" / "variables.data-00000-of-00001").write_bytes(b"\0" * 5000)


def _drop_data(saved: Path) -> None:
    (saved / "variables" / "variables.data-00000-of-00001").unlink()


def _drop_index(saved: Path) -> None:
    (saved / "variables" / "variables.index").unlink()


def _cut_index(saved: Path) -> None:
    index = saved / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[:-20])


def _compress_index(saved: Path) -> None:
    index = saved / "variables" / "variables.index"
    data = bytearray(index.read_bytes())
    data[_TYPE_OF_LAST_BLOCK] = 1
    index.write_bytes(data)


def _drop_graph(saved: Path) -> None:
    (saved / "saved_model.pb").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut_data, r"data-00000-of-00001 is truncated: 5,000 bytes, variable '.*' ends at byte [\d,]+; copy it again"),
        (_drop_data, "cannot read .*data-00000-of-00001: No such file"),
        (_drop_index, "variables.index is missing"),
        (_cut_index, "variables.index is truncated or damaged"),
        (_compress_index, "is compressed, which TensorFlow does not do"),
        (_drop_graph, "is no SavedModel: there is no saved_model.pb in it"),
    ],
)
def test_damage_is_said_in_a_line(saved, damage, said):
    damage(saved)
    with pytest.raises((FrontendError, ModelError), match=said) as caught:
        regraft.open_source(saved, "tensorflow")
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_graph_is_no_frontends(saved):
    _drop_graph(saved)
    with pytest.raises(FrontendError, match="no frontend knows"):
        regraft.open_source(saved)


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="tensorflow is installed")
def test_the_extra_is_named_where_tensorflow_is_missing(saved):
    with pytest.raises(FrontendError, match=r"needs tensorflow, which is not installed: pip install 'regraft\[tens"):
        regraft.open_source(saved)
