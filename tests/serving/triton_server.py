"""What Triton does with a model repository: checks, as its loader and its ONNX Runtime backend make them, and batches.

Written from Triton's documentation and the public source of its core, its backend and ensemble scheduler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as schema

Request = Mapping[str, np.ndarray]

_DTYPES = {
    "tensor(bool)": "TYPE_BOOL",
    **{f"tensor({kind}int{bits})": f"TYPE_{kind.upper()}INT{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)},
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}


class Triton:
    """A server of the models in a repository."""

    def __init__(self, repository: Path):
        self.configs = {path.name: _read(path) for path in sorted(repository.iterdir())}
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        for name, config in self.configs.items():
            versions = [path.name for path in (repository / name).iterdir() if path.is_dir()]
            assert versions == ["1"]
            _check(config, name)
            if config.platform != "ensemble":
                session = onnxruntime.InferenceSession(repository / name / "1" / "model.onnx")
                _check_model(config, session)
                self._sessions[name] = session
        for config in self.configs.values():
            if config.platform == "ensemble":
                _check_ensemble(config, self.configs)

    def infer(self, name: str, requests: Sequence[Request]) -> list[dict[str, np.ndarray]]:
        """The answers to requests that Triton has put into one batch."""
        config = self.configs[name]
        for request in requests:
            _check_request(config, request)
        if config.platform == "ensemble":
            return self._ensemble(config, requests)
        if not config.max_batch_size:
            return [self._run(config, [request])[0] for request in requests]
        return self._run(config, requests)

    def _ensemble(self, config: schema.ModelConfig, requests: Sequence[Request]) -> list[dict[str, np.ndarray]]:
        known = [dict(request) for request in requests]
        for step in config.ensemble_scheduling.step:
            given = [{name: tensors[source] for name, source in step.input_map.items()} for tensors in known]
            for tensors, made in zip(known, self.infer(step.model_name, given), strict=True):
                tensors.update({target: made[name] for name, target in step.output_map.items()})
        return [{output.name: tensors[output.name] for output in config.output} for tensors in known]

    def _run(self, config: schema.ModelConfig, requests: Sequence[Request]) -> list[dict[str, np.ndarray]]:
        feeds: dict[str, np.ndarray] = {}
        for one in config.input:
            values = [request[one.name] for request in requests]
            if one.allow_ragged_batch:
                feeds[one.name] = np.concatenate([value.reshape(-1) for value in values])
            else:
                joined = np.concatenate(values) if config.max_batch_size else values[0]
                has_shape = one.HasField("reshape")
                feeds[one.name] = joined.reshape(len(joined), *one.reshape.shape) if has_shape else joined
        for one in config.batch_input:
            assert schema.BatchInput.Kind.Name(one.kind) == "BATCH_ITEM_SHAPE_FLATTEN"
            shapes = [request[one.source_input[0]].shape for request in requests]
            items = [dim for rows, *dims in shapes for _ in range(rows) for dim in dims]
            feeds[one.target_name[0]] = np.array(items, np.int32)
        names = [output.name for output in config.output]
        results = dict(zip(names, self._sessions[config.name].run(names, feeds), strict=True))
        scattered = {one.target_name[0]: one.source_input[0] for one in config.batch_output}
        return [
            {
                output.name: _share(results[output.name], output, scattered.get(output.name), requests, place, config)
                for output in config.output
            }
            for place in range(len(requests))
        ]


def _share(
    result: np.ndarray,
    output: schema.ModelOutput,
    source: str | None,
    requests: Sequence[Request],
    place: int,
    config: schema.ModelConfig,
) -> np.ndarray:
    """What of an output of a batch goes to one of its requests."""
    if not config.max_batch_size:
        return result
    if source is None:
        counts = [len(next(iter(request.values()))) for request in requests]
        start = sum(counts[:place])
        mine = result[start : start + counts[place]]
        assert sum(counts) == len(result)
        return mine.reshape(len(mine), *output.dims) if output.HasField("reshape") else mine
    shapes = [
        [given if dim == -1 else dim for dim, given in zip([-1, *output.dims], [*shape, *[None] * 9], strict=False)]
        for shape in (request[source].shape for request in requests)
    ]
    sizes = [int(np.prod(shape)) for shape in shapes]
    start = sum(sizes[:place])
    assert sum(sizes) == result.size
    return result.reshape(-1)[start : start + sizes[place]].reshape(shapes[place])


def _read(path: Path) -> schema.ModelConfig:
    text = (path / "config.pbtxt").read_text(encoding="utf-8")
    config = text_format.Parse(text, schema.ModelConfig())
    assert text_format.Parse(text_format.MessageToString(config), schema.ModelConfig()) == config
    return config


def _check(config: schema.ModelConfig, folder: str) -> None:
    """What the loader demands of any configuration."""
    assert config.name == folder
    assert config.platform in ("onnxruntime_onnx", "ensemble")
    for one in (*config.input, *config.output):
        assert one.name
        assert one.data_type != schema.TYPE_INVALID
        assert one.dims
        assert all(dim > 0 or dim == -1 for dim in one.dims)
        if one.HasField("reshape"):
            assert config.max_batch_size or one.reshape.shape
            assert np.prod(one.dims) == np.prod(one.reshape.shape)
    assert len({one.name for one in config.input}) == len(config.input) > 0
    assert len({one.name for one in config.output}) == len(config.output) > 0
    if config.HasField("dynamic_batching"):
        assert all(0 < size <= config.max_batch_size for size in config.dynamic_batching.preferred_batch_size)
    inputs = {one.name for one in config.input}
    for one in config.batch_input:
        assert one.data_type in (schema.TYPE_INT32, schema.TYPE_FP32)
        assert len(one.source_input) == 1
        assert set(one.source_input) <= inputs
        assert not inputs.intersection(one.target_name)
    for one in config.batch_output:
        assert len(one.source_input) == len(one.target_name) == 1
        assert set(one.source_input) <= inputs
        assert set(one.target_name) <= {output.name for output in config.output}
    if config.platform == "ensemble":
        assert not config.instance_group
        assert not config.HasField("dynamic_batching")
    else:
        assert all(group.count > 0 for group in config.instance_group)


def _check_model(config: schema.ModelConfig, session: onnxruntime.InferenceSession) -> None:
    """What the ONNX Runtime backend demands of a model."""
    taken = {one.name: one for one in session.get_inputs()}
    given = {one.name: one for one in session.get_outputs()}
    assert len(taken) == len(config.input) + len(config.batch_input)
    for one in config.batch_input:
        assert taken[one.target_name[0]].type == "tensor(int32)"
    scattered = {one.target_name[0] for one in config.batch_output}
    for one, model in [(one, taken[one.name]) for one in config.input] + [(o, given[o.name]) for o in config.output]:
        assert _DTYPES[model.type] == schema.DataType.Name(one.data_type)
        shape = [dim if isinstance(dim, int) else -1 for dim in model.shape]
        if getattr(one, "allow_ragged_batch", False):
            assert shape == [-1]
        elif one.name not in scattered:
            dims = list(one.reshape.shape if one.HasField("reshape") else one.dims)
            if config.max_batch_size:
                assert shape[:1] == [-1]
                shape = shape[1:]
            elif not shape:
                shape = [1]
            assert shape == dims


def _check_ensemble(config: schema.ModelConfig, configs: Mapping[str, schema.ModelConfig]) -> None:
    """What the ensemble scheduler demands: every tensor is made once, before it is read, and looks the same there."""
    known = {one.name: (one.data_type, list(one.dims), config.max_batch_size > 0) for one in config.input}
    for step in config.ensemble_scheduling.step:
        model = configs[step.model_name]
        assert model.max_batch_size == 0 or model.max_batch_size >= config.max_batch_size
        assert set(step.input_map) == {one.name for one in model.input}
        assert set(step.output_map) <= {one.name for one in model.output}
        for one in model.input:
            _check_same(known[step.input_map[one.name]], one, model)
        for one in model.output:
            if one.name in step.output_map:
                assert step.output_map[one.name] not in known
                known[step.output_map[one.name]] = (one.data_type, list(one.dims), model.max_batch_size > 0)
    for one in config.output:
        _check_same(known[one.name], one, config)


def _check_same(
    known: tuple[int, list[int], bool], one: schema.ModelInput | schema.ModelOutput, config: schema.ModelConfig
) -> None:
    dtype, dims, batched = known
    assert dtype == one.data_type
    pairs = [(dims, list(one.dims)), ([-1] * batched + dims, [-1] * (config.max_batch_size > 0) + list(one.dims))]
    assert any(len(a) == len(b) and all(x == y or -1 in (x, y) for x, y in zip(a, b, strict=True)) for a, b in pairs)


def _check_request(config: schema.ModelConfig, request: Request) -> None:
    assert set(request) == {one.name for one in config.input}
    for one in config.input:
        shape = list(request[one.name].shape)
        if config.max_batch_size:
            assert shape.pop(0) <= config.max_batch_size
        assert len(shape) == len(one.dims)
        assert all(dim in (-1, size) for dim, size in zip(one.dims, shape, strict=True))
