"""`regraft export-triton`: repositories that Triton's checks let pass, and answers that are the session's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("tritonclient.grpc")

import regraft
from regraft.cli import cli
from regraft.ir.host import Host
from regraft.ir.model import Model
from regraft.models.minilm import model_path
from regraft.runtime import Session
from regraft.serving.triton import Serving, write_repository
from tests.serving.triton_server import Triton

SPLIT = "fold-constants,expose-position-ids,externalize-embeddings,externalize-mask"
STATIC = "unpack-attention{form=static,rows=4,tokens=64,max-valid-num=8,segment-max-size=32}"


def export(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["export-triton", *map(str, arguments)])


@pytest.fixture(scope="module")
def path(artifacts: Path) -> Path:
    """A small BERT that answers questions: [batch, sequence] all over."""
    return artifacts / "pytorch" / "transformers-4.25.1-bert-qa" / "model.onnx"


def rewritten(path: Path, pipeline: str) -> Model:
    model = regraft.load(path)
    regraft.run(model, pipeline)
    return model


def requests(model: Model, lengths: list[tuple[int, ...]], seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Requests of some rows each, padded on the right to the longest of them."""
    random = np.random.default_rng(seed)
    made = []
    for rows in lengths:
        mask = (np.arange(max(rows)) < np.array(rows)[:, None]).astype(np.int64)
        values = {"attention_mask": mask, "input_ids": random.integers(1, 99, mask.shape) * mask}
        values["token_type_ids"] = random.integers(0, 2, mask.shape) * mask
        made.append({tensor.name: values[tensor.name] for tensor in model.inputs})
    return made


def assert_as_alone(repository: Path, name: str, model: Model, asked: list[dict[str, np.ndarray]]) -> None:
    """Where there are tokens, and in the shapes of the request."""
    session = Session(model)
    for request, answer in zip(asked, Triton(repository).infer(name, asked), strict=True):
        right = session.run(request)
        assert answer.keys() == right.keys()
        for output, value in right.items():
            shown = request["attention_mask"].astype(bool)
            assert answer[output].shape == value.shape
            assert answer[output].dtype == value.dtype
            by_token = value.ndim > 1 and value.shape[1] == shown.shape[1]
            given, value = (array[shown] if by_token else array for array in (answer[output], value))
            np.testing.assert_allclose(given, value, atol=1e-4)


def test_a_model_that_is_not_split(path: Path, tmp_path: Path) -> None:
    options = ("--max-batch", 8, "--max-delay-ms", 2.5, "--instances", 3, "--kind", "gpu", "--name", "qa")
    result = export(path, "-o", tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'out' / 'qa'}: batches of up to 8\n"
    config = Triton(tmp_path / "out").configs["qa"]
    assert (config.max_batch_size, config.platform) == (8, "onnxruntime_onnx")
    assert list(config.dynamic_batching.preferred_batch_size) == [8]
    assert config.dynamic_batching.max_queue_delay_microseconds == 2500
    assert [(group.count, group.kind == group.KIND_GPU) for group in config.instance_group] == [(3, True)]
    model = regraft.load(path)
    assert_as_alone(tmp_path / "out", "qa", model, requests(model, [(7,), (7, 5), (7,)]))


@pytest.mark.parametrize("half", [False, True])
def test_host_and_device_as_an_ensemble(path: Path, tmp_path: Path, half: bool) -> None:
    """In half precision the device gives float16 where the caller was promised float32."""
    model = rewritten(path, SPLIT + ",convert-fp16{io=fp16}" * half)
    assert {tensor.dtype for tensor in model.graph.outputs} == {np.dtype(np.float16 if half else np.float32)}
    write_repository(model, tmp_path / "out", "qa", Serving(max_batch=4, kind="gpu"))
    server = Triton(tmp_path / "out")
    assert server.configs.keys() == {"qa", "qa_host", "qa_device"}
    assert {config.max_batch_size for config in server.configs.values()} == {4}
    kinds = {name: [group.kind for group in config.instance_group] for name, config in server.configs.items()}
    assert kinds == {"qa": [], "qa_host": [2], "qa_device": [1]}
    assert_as_alone(tmp_path / "out", "qa", model, requests(model, [(7,), (7, 5), (7,)]))


@pytest.mark.parametrize(
    ("form", "most"),
    [("pack-sequences", 16), ("pack-sequences{rows=6,tokens=32}", 6), ("unpack-attention", 16), (STATIC, 8)],
)
def test_a_packed_model_takes_unlike_lengths(path: Path, tmp_path: Path, form: str, most: int) -> None:
    model = rewritten(path, form)
    (exported,) = write_repository(model, tmp_path / "out", "qa", Serving(max_batch=16))
    assert exported.ragged
    assert exported.max_batch == most
    config = Triton(tmp_path / "out").configs["qa"]
    assert all(one.allow_ragged_batch for one in config.input)
    assert_as_alone(tmp_path / "out", "qa", model, requests(model, [(7,), (30,), (3, 5), (1,), (4,)]))
    assert_as_alone(tmp_path / "out", "qa", model, requests(model, [(5,)]))


@pytest.mark.parametrize("form", ["pack-sequences", "unpack-attention{form=loop}"])
def test_real_weights_and_outputs_of_every_kind(tmp_path: Path, form: str) -> None:
    """MiniLM gives ids, hidden states and sentence embeddings."""
    model = rewritten(model_path(), form)
    write_repository(model, tmp_path / "out", "minilm", Serving())
    assert_as_alone(tmp_path / "out", "minilm", model, requests(model, [(12,), (40,), (3, 9), (1,)]))


def test_a_request_that_contradicts_itself_leaves_others_alone(path: Path, tmp_path: Path) -> None:
    """A mask longer or shorter than the ids shifts nothing in the rows of other requests."""
    model = rewritten(path, "unpack-attention")
    write_repository(model, tmp_path / "out", "qa", Serving())
    good = requests(model, [(7,), (4,), (9,)])
    server = Triton(tmp_path / "out")
    right = server.infer("qa", good)
    for size in (2, 20):
        bad = {**good[1], "attention_mask": np.ones((1, size), np.int64)}
        found = server.infer("qa", [good[0], bad, good[2]])
        for place in (0, 2):
            for name, value in right[place].items():
                np.testing.assert_allclose(found[place][name], value, atol=1e-5)


def test_the_simulation_sees_a_wrong_configuration(path: Path, tmp_path: Path) -> None:
    write_repository(rewritten(path, "unpack-attention"), tmp_path / "out", "qa", Serving())
    config = tmp_path / "out" / "qa" / "config.pbtxt"
    text = config.read_text()
    for right, wrong in [
        ("max_batch_size: 16", "max_batch_size: 0"),
        ("TYPE_INT64", "TYPE_INT32"),
        ('name: "qa"', 'name: "q"'),
        ("allow_ragged_batch: true", ""),
        ("dims: [-1]", "dims: []"),
    ]:
        config.write_text(text.replace(right, wrong, 1))
        with pytest.raises(AssertionError):
            Triton(tmp_path / "out").infer("qa", requests(regraft.load(path), [(3,), (4,)]))


def test_a_packed_bundle_on_disk(path: Path, tmp_path: Path) -> None:
    model = rewritten(path, "unpack-attention")
    regraft.write_bundle(model, tmp_path / "qa")
    result = export(tmp_path / "qa", "-o", tmp_path / "out")
    assert result.stdout == f"{tmp_path / 'out' / 'qa'}: batches of up to 16, of unlike lengths\n"
    assert_as_alone(tmp_path / "out", "qa", model, requests(model, [(7,), (4,)]))


def _parsed(folder: Path, text: str) -> Path:
    onnx.save(onnx.parser.parse_model(text), folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.parametrize(
    ("signature", "most", "dims", "shapes"),
    [
        ("(float[2, 3] x, float n) => (float[2, 3] y)", 0, [[2, 3], [1]], [(2, 3), (1,)]),
        ("(float[batch, 3] x, float[batch, 1] n) => (float[batch, 3] y)", 16, [[3], [1]], [(2, 3), (2, 1)]),
        ("(float[a, 3] x, float[b, 1] n) => (float[c, 3] y)", 0, [[-1, 3], [-1, 1]], [(2, 3), (2, 1)]),
        ("(float[batch] x, float[batch] n) => (float[batch] y)", 16, [[1], [1]], [(2, 1), (2, 1)]),
    ],
)
def test_which_dimension_is_the_batch(
    tmp_path: Path, signature: str, most: int, dims: list[list[int]], shapes: list[tuple[int, ...]]
) -> None:
    model = _parsed(tmp_path, f'<ir_version: 8, opset_import: ["" : 17]> g {signature} {{ y = Mul(x, n) }}')
    (exported,) = write_repository(regraft.load(model), tmp_path / "out", "model", Serving())
    assert exported.max_batch == most
    server = Triton(tmp_path / "out")
    assert [list(one.dims) for one in server.configs["model"].input] == dims
    x, n = (np.full(shape, number, np.float32) for number, shape in zip((3, 5), shapes, strict=True))
    (answer,) = server.infer("model", [{"x": x, "n": n}])
    np.testing.assert_array_equal(answer["y"], np.full(shapes[0], 15))


def test_fixed_sizes_of_host_and_device(path: Path, tmp_path: Path) -> None:
    model = rewritten(path, f"set-shapes{{batch=2,sequence=8}},{SPLIT}")
    write_repository(model, tmp_path / "out", "qa", Serving())
    server = Triton(tmp_path / "out")
    assert {config.max_batch_size for config in server.configs.values()} == {0}
    assert not any(config.HasField("dynamic_batching") for config in server.configs.values())
    assert_as_alone(tmp_path / "out", "qa", model, requests(model, [(8, 5), (8, 8)]))


def test_a_split_that_knows_no_sequences(tmp_path: Path) -> None:
    """The device is fed one row for all: host and device become one model, which Triton gives batches of one shape."""
    front = _parsed(
        tmp_path,
        """<ir_version: 8, opset_import: ["" : 17]> host (float[batch, 3] x) => (float[1, all] flat)
        <int64[2] row = {1, -1}> { flat = Reshape(x, row) }""",
    )
    host = regraft.load(front)
    device = _parsed(
        tmp_path,
        """<ir_version: 8, opset_import: ["" : 17]> device (float[1, all] flat) => (float[batch, 3] y)
        <int64[2] rows = {-1, 3}> { twice = Add(flat, flat) y = Reshape(twice, rows) }""",
    )
    model = regraft.load(device)
    model.host = Host(host, {"flat": "flat"}, [tensor.copy() for tensor in model.graph.outputs])
    (exported,) = write_repository(model, tmp_path / "out", "flat", Serving(max_batch=5))
    assert (exported.max_batch, exported.ragged) == (5, False)
    asked = [{"x": np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)} for rows in (1, 3)]
    for request, answer in zip(asked, Triton(tmp_path / "out").infer("flat", asked), strict=True):
        np.testing.assert_array_equal(answer["y"], 2 * request["x"])


def test_names_are_quoted(tmp_path: Path) -> None:
    graph = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[batch, 3] x) => (float[batch, 3] y) { y = Neg(x) }'
    )
    graph.graph.input[0].name = graph.graph.node[0].input[0] = 'a "quoted" \\ näme'
    onnx.save(graph, tmp_path / "model.onnx")
    write_repository(regraft.load(tmp_path / "model.onnx"), tmp_path / "out", "model", Serving())
    assert Triton(tmp_path / "out").configs["model"].input[0].name == 'a "quoted" \\ näme'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(bfloat16[batch, 3] x) => (bfloat16[batch, 3] y) { y = Identity(x) }", "'x' is bfloat16"),
        ("(int4[batch, 3] x) => (int4[batch, 3] y) { y = Identity(x) }", "'x': the protocol has no name for dtype"),
        ("(float[batch, 0] x) => (float[batch, 0] y) { y = Identity(x) }", "without elements"),
        ("(seq(float[3]) x) => (seq(float[3]) y) { y = Identity(x) }", "Triton takes tensors"),
    ],
)
def test_what_triton_does_not_take(tmp_path: Path, text: str, says: str) -> None:
    model = _parsed(tmp_path, f'<ir_version: 10, opset_import: ["" : 21]> g {text}')
    result = export(model, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]


def test_a_packed_shape_that_may_be_too_small(path: Path, tmp_path: Path) -> None:
    form = "unpack-attention{form=static,rows=1,tokens=32,max-valid-num=8,segment-max-size=32}"
    (exported,) = write_repository(rewritten(path, form), tmp_path / "out", "qa", Serving())
    assert exported.max_batch == 1  # one of 32 tokens fills it


def test_a_destination_that_holds_something(path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    for folder, says in [
        (tmp_path, "holds something"),
        (tmp_path / "mine", "holds something"),
        (tmp_path / "a" / "b", "there is no folder"),
    ]:
        result = export(path, "-o", folder)
        assert result.exit_code == 2
        assert says in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").read_text() == "kept"
    (tmp_path / "empty").mkdir()
    assert export(path, "-o", tmp_path / "empty").exit_code == 0
    assert "is no name of a model" in export(path, "-o", tmp_path / "other", "--name", "../up").stderr
