"""Timing two models against each other."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from regraft.verification.bench import Comparison, Timing, bench
from regraft.verification.runtime import RuntimeFailure, Session

SIZE = 256
INPUTS = {"x": np.ones((SIZE, SIZE), np.float32)}


def products(count: int, name: str = "x") -> bytes:
    """A chain of `count` matrix products."""
    values = [name, *(f"v{i}" for i in range(count))]
    nodes = [helper.make_node("MatMul", [a, a], [b]) for a, b in itertools.pairwise(values)]
    kind = TensorProto.FLOAT, [SIZE, SIZE]
    ends = [helper.make_tensor_value_info(v, *kind) for v in (values[0], values[-1])]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    slow, fast = tmp_path / "slow.onnx", tmp_path / "fast.onnx"
    slow.write_bytes(products(32))
    fast.write_bytes(products(2, name="other"))
    return slow, fast


def test_the_faster_model_is_found(paths: tuple[Path, Path]) -> None:
    result = bench(*paths, INPUTS, runs=9)
    assert len(result.ratios) == 9
    assert result.ratio > 2
    assert result.interval[0] > 1
    assert "b is" in str(result)
    assert result.to_dict()["ratio"] == result.ratio


@pytest.mark.parametrize(
    ("a", "b", "says", "shown"),
    [
        ((2.0, 2.1, 2.2), (1.0, 1.0, 1.0), "b is 2.10 times as fast as a (95 % interval", True),
        ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0), "b is 0.50 times as fast as a (95 % interval", True),
        (
            (0.9, 1.0, 1.2),
            (1.0, 1.0, 1.0),
            "no difference shown: a takes 1.00 times as long as b (",
            False,
        ),
        ((2.0,), (1.0,), "no difference shown: a takes 2.00 times as long as b (95 % interval", False),
    ],
)
def test_a_difference_is_shown_where_the_interval_leaves_out_1(
    a: tuple[float, ...], b: tuple[float, ...], says: str, shown: bool
) -> None:
    result = Comparison(Timing(a), Timing(b), 1, True)
    assert says in str(result)
    assert result.to_dict()["shows_difference"] is shown


def test_runs_are_interleaved(paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    run = Session.run

    def watched(session: Session, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        order.append("a" if "x" in inputs else "b")
        return run(session, inputs)

    monkeypatch.setattr(Session, "run", watched)
    bench(*paths, INPUTS, runs=4, warmup=1)
    assert "".join(order) == "ab" + "abbaabba"


def test_peak_memory_is_measured_in_another_process(paths: tuple[Path, Path]) -> None:
    result = bench(*paths, INPUTS, runs=1, memory=True)
    assert result.a.peak is not None
    assert 0 < result.a.peak < 500 << 20
    assert bench(*paths, INPUTS, runs=1).a.peak is None


def test_the_ratio_is_paired() -> None:
    """Both are slowed down in the third run: the ratio does not see it."""
    result = Comparison(Timing((2.0, 2.2, 20.0)), Timing((1.0, 1.1, 10.0)), 1, True)
    assert result.ratio == 2
    assert result.interval == (2, 2)
    assert result.a.median == 2.2


def test_a_model_that_does_not_run(paths: tuple[Path, Path]) -> None:
    with pytest.raises(RuntimeFailure, match="no value for input 'x'"):
        bench(*paths, {})
