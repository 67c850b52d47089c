"""The formula, the choice of a way, and what ways are held against: on models that sleep, and on a real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from regraft.batching.choose import choose
from regraft.batching.compare import compare, with_latency
from regraft.batching.cost import Cost, work
from regraft.batching.form import Row
from regraft.batching.policy import ByTokens, Fixed, Padded
from regraft.batching.ways import Way, find_ways
from regraft.cli import cli
from regraft.packers.fits import PackedShape
from regraft.packers.histogram import first_fit_decreasing
from regraft.pipelines.progress import Quiet
from tests.batching.toy import FORM, ask, toy

LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=40)
SECONDS = st.floats(0, 1)


def rows_of(lengths: list[int]) -> list[Row]:
    return [FORM.rows(ask(list(range(1, n + 1))))[0] for n in lengths]


class Clock:
    """A clock that models move by what they take, for every place and every call."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def model(self, per_place: float, fixed: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def run(batch: dict[str, Any]) -> dict[str, Any]:
            self.now += fixed + per_place * batch["ids"].size
            return toy(batch)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("regraft.batching.choose.perf_counter", made)
    return made


@given(st.tuples(SECONDS, SECONDS, SECONDS, SECONDS), st.lists(LENGTHS, min_size=6, max_size=12))
def test_the_formula_finds_what_calls_cost(per: tuple[float, ...], calls: list[list[int]]) -> None:
    loop = replace(FORM, packing="loop")
    works = [work(loop, lengths) for lengths in calls]
    seconds = [float(np.array(per) @ done) + 1e-3 for done in works]
    cost = Cost.fit(works, seconds)
    assert min(cost.fixed, cost.token, cost.square, cost.sequence) >= 0
    if np.linalg.matrix_rank(np.array(works)) == 4:
        assert [cost.seconds(done) for done in works] == pytest.approx(seconds, rel=1e-3)


@given(LENGTHS)
def test_work_is_least_where_nothing_is_padded(lengths: list[int]) -> None:
    forms = {packing: replace(FORM, packing=packing) for packing in (None, "segments", "gather", "loop")}
    done = {packing: work(form, lengths) for packing, form in forms.items()}
    assert (done["loop"] <= done["gather"]).all()
    assert (done["gather"] <= done[None]).all()
    assert (done["loop"] <= done["segments"]).all()
    assert (work(FORM, lengths, 512) >= done[None]).all()
    assert done["loop"].tolist() == [1, sum(lengths), sum(n * n for n in lengths), len(lengths)]


def test_work_of_a_fixed_shape_is_always_the_same() -> None:
    shape = PackedShape(4, 64, 8, 64, across_rows=True)
    form = replace(FORM, packing="gather", packed=shape)
    assert work(form, [1]).tolist() == work(form, [64, 64]).tolist() == [1, 256, 8 * 64**2, 4]


@pytest.mark.parametrize(
    ("per_place", "fixed", "order"),
    [(1e-6, 0, ["one by one", "sorted"]), (0, 1e-4, ["sorted", "one by one"]), (1e-6, 2e-5, ["sorted", "one by one"])],
)
def test_the_fastest_way_is_chosen(per_place: float, fixed: float, order: list[str], clock: Clock) -> None:
    """Where padding costs, one by one; where calls do, few of them."""
    run, rows = clock.model(per_place, fixed), rows_of([3, 60, 5, 50, 9, 70, 1, 40] * 2)
    ways = [Way("", FORM, run, policy) for policy in (Padded(8), Padded(4, ordered=True), Padded(1))]
    found = choose(ways, rows, few=2, rounds=1)
    assert [choice.measured is None for choice in found] == [False, False, True]
    assert [choice.way.name for choice in found if choice.way.name in order] == order
    assert all(choice.measured in (None, pytest.approx(choice.predicted)) for choice in found)


def test_ways_of_each_kind_of_model() -> None:
    def names(**changes: Any) -> list[str]:
        return [way.name for way in find_ways("", replace(FORM, **changes), toy, batch=16, longest=400)]

    assert names() == ["padded to the longest", "sorted", "one by one"]
    assert names(together=False) == ["one by one"]
    assert names(batch=6) == ["padded to the longest"]
    assert names(packing="loop") == [*(f"packed, {n:,} tokens a call" for n in (512, 1024, 2048)), "one by one"]
    shape = PackedShape(4, 400, 8, 400, across_rows=False)
    fixed = [f"packed, 4 × 400, {name}" for name in ("next_fit", "first_fit", "first_fit_decreasing")]
    assert names(packing="segments", packed=shape) == fixed
    assert names(packing="gather", packed=replace(shape, across_rows=True)) == ["packed, 4 × 400, across rows"]


def test_what_a_way_gets_wrong_is_seen() -> None:
    rows = rows_of([3, 8, 5])
    alone = [toy(ask(list(range(1, n + 1)))) for n in (3, 8, 5)]
    right = [{name: value[0] for name, value in one.items()} for one in alone]

    def wrong(batch: dict[str, Any]) -> dict[str, Any]:
        found = toy(batch)
        found["sum"][-1:] += 1
        return found

    good, bad = compare([Way("", FORM, run, Padded(3)) for run in (toy, wrong)], rows, right, 1, Quiet())
    assert (good.worst[1], good.errors) == (0, {"sum": 0, "cubes": 0})
    assert (bad.worst, bad.errors) == ((2, 1), {"sum": pytest.approx(1 / 3), "cubes": 0})
    assert list(bad.samples) == [0, 0, 1]
    assert good.calls == 1


def test_waiting_times_are_of_ways_that_take_what_comes() -> None:

    def sleepy(batch: dict[str, Any]) -> dict[str, Any]:
        sleep(2e-3)
        return toy(batch)

    rows, requests = rows_of([3, 8, 5] * 4), [ask(list(range(1, n + 1))) for n in (3, 8, 5) * 4]
    alone = [{name: value[0] for name, value in toy(request).items()} for request in requests]
    shape = PackedShape(2, 8, 4, 8, across_rows=False)
    ahead = Fixed(shape, first_fit_decreasing)
    ways = [Way("", FORM, sleepy, ByTokens(16)), Way("", replace(FORM, packed=shape), toy, ahead)]
    found = [
        with_latency(one, requests, timeout=0.001, seconds=1, seed=0) for one in compare(ways, rows, alone, 1, Quiet())
    ]
    assert found[0].latency is not None
    assert 2 <= found[0].latency.mean <= found[0].latency.p99
    assert found[1].latency is None


def test_bench_of_lengths(artifacts: Path, tmp_path: Path) -> None:
    lengths, dump = tmp_path / "lengths.txt", tmp_path / "samples.csv"
    lengths.write_text("3 17 9 30 5 21 12 8")
    model = artifacts / "pytorch" / "bert-cls-eager-dynamo.onnx"
    options = [
        "--lengths",
        str(lengths),
        "--rows",
        "2",
        "--tokens",
        "32",
        "--rounds",
        "1",
        "--dump",
        str(dump),
        "--json",
    ]
    result = CliRunner().invoke(cli, ["bench", str(model), *options])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    models = {way["way"].split(":")[0] for way in said["ways"]}
    assert models == {"original", "segments", "gather", "bucket", "loop", "segments, fixed", "static"}
    assert said["refused"] == {}
    assert (said["sequences"], said["tokens"]) == (8, 105)
    assert all(way["worst"]["difference"] <= 1e-5 for way in said["ways"])
    assert said["best"] in {way["way"] for way in said["ways"]}
    assert len(dump.read_text().splitlines()) == 9


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--lengths", "sead004"], "no file or set of lengths"),
        (["--lengths", "short", "--rows", "4"], "--rows and --tokens"),
        ([], "name the second one"),
    ],
)
def test_bad_options(options: list[str], reason: str, artifacts: Path) -> None:
    model = artifacts / "pytorch" / "bert-cls-eager-dynamo.onnx"
    result = CliRunner().invoke(cli, ["bench", str(model), *options])
    assert result.exit_code == 2
    assert reason in result.stderr


def test_a_model_without_tokens_has_no_lengths(artifacts: Path) -> None:
    result = CliRunner().invoke(cli, ["bench", str(artifacts / "pytorch" / "vit-ts.onnx"), "--lengths", "short"])
    assert result.exit_code == 2
    assert "no input says which tokens" in result.stderr
