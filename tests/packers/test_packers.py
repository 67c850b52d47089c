"""Packers against the figures that others published, and what holds for any lengths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.cli import cli
from regraft.cli.pack_lengths import AHEAD, ARRIVAL
from regraft.packers.histogram import longest_pack_first, shortest_pack_first
from regraft.runtime.packing import ALGORITHMS, Limits, Packing, PackingError, read_lengths
from tests.growth import calls


@pytest.mark.parametrize(
    ("algorithm", "across", "batches"),
    [("next_fit", False, 65), ("first_fit", False, 56), ("next_fit", True, 52), ("first_fit", True, 52)],
)
def test_the_seeds_batches(algorithm: str, across: bool, batches: int) -> None:
    lengths = read_lengths("seed004").values
    packing = ALGORITHMS[algorithm](lengths, Limits(256, 16, 40, across))
    assert (len(lengths), int(lengths.sum()), packing.padded, packing.batches) == (1600, 204_491, 100, batches)
    assert packing.speedup == pytest.approx(100 / batches)


@pytest.mark.parametrize("algorithm", ["first_fit_decreasing", "spfhp", "lpfhp"])
@pytest.mark.parametrize("across", [False, True])
def test_who_knows_all_lengths_needs_no_more_batches(algorithm: str, across: bool) -> None:
    packing = ALGORITHMS[algorithm](read_lengths("seed004").values, Limits(256, 16, 40, across))
    _check(packing)
    assert packing.batches <= 51  # 50 batches hold 204,800 tokens


@pytest.mark.parametrize(("depth", "fill"), [(2, 0.8052), (3, 0.8944), (4, 0.9394), (8, 0.9890), (12, 0.996040)])
def test_wikipedia_shortest_pack_first(depth: int, fill: float) -> None:
    assert _fill("wikipedia", shortest_pack_first, depth) == pytest.approx(fill, abs=6e-5 if depth < 12 else 1e-6)


def test_the_other_published_figures() -> None:
    assert _fill("wikipedia", longest_pack_first, 12) == pytest.approx(0.998129, abs=1e-6)
    assert _fill("squad", shortest_pack_first, 3) == pytest.approx(0.9755, abs=5e-5)
    assert _fill("squad", shortest_pack_first, 2) == pytest.approx(0.8760, abs=5e-5)


def _fill(name: str, find, depth: int) -> float:
    counts = json.loads(Path(__file__).parents[2].joinpath("regraft/packers/histograms.json").read_text())[name]
    histogram = np.array([0, *counts])
    strategy = find(histogram, len(counts), depth)
    for length in np.flatnonzero(histogram):
        assert sum(row.count(length) * times for row, times in strategy) == histogram[length]
    assert all(sum(row) <= len(counts) and len(row) <= depth for row, _ in strategy)
    return float((histogram * np.arange(len(histogram))).sum() / (len(counts) * sum(times for _, times in strategy)))


LIMITS = st.builds(
    Limits,
    tokens=st.integers(20, 40),
    rows=st.integers(1, 40),
    max_valid_num=st.none() | st.integers(1, 60),
    across_rows=st.booleans(),
) | st.builds(Limits, tokens=st.integers(20, 40), max_valid_num=st.none() | st.integers(1, 9))


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(lengths=st.lists(st.integers(1, 20), max_size=80), limits=LIMITS)
def test_any_lengths_fit(algorithm: str, lengths: list[int], limits: Limits) -> None:
    packing = ALGORITHMS[algorithm](np.array(lengths, int), limits)
    assert packing.lengths.tolist() == lengths
    _check(packing)


def _check(packing: Packing) -> None:
    """Each token has a place of its own, within the limits."""
    limits = packing.limits
    rows = packing.rows if limits.rows is None else limits.rows
    first = (packing.batch * rows + packing.row) * limits.tokens + packing.start
    places = np.repeat(first - np.cumsum(packing.lengths) + packing.lengths, packing.lengths) + np.arange(
        packing.lengths.sum()
    )
    assert len(np.unique(places)) == len(places)
    assert (packing.start < limits.tokens).all()
    assert (packing.row < max(rows, 1)).all()
    if not limits.across_rows:
        assert (packing.start + packing.lengths <= limits.tokens).all()
    if limits.max_valid_num is not None and limits.rows is not None:
        assert np.bincount(packing.batch, minlength=1).max() <= limits.max_valid_num
    assert len(np.unique(packing.batch)) == packing.batches


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("algorithm", ["next_fit", "first_fit", "best_fit"])
@given(
    lengths=st.lists(st.integers(1, 20), max_size=80),
    rows=st.none() | st.integers(1, 40),
    most=st.none() | st.integers(1, 30),
)
def test_as_they_come(algorithm: str, lengths: list[int], rows: int | None, most: int | None) -> None:
    packing = ALGORITHMS[algorithm](np.array(lengths, int), Limits(20, rows, most))
    assert list(zip(packing.batch, packing.row, packing.start, strict=True)) == _plainly(algorithm, lengths, rows, most)


def _plainly(algorithm: str, lengths: list[int], rows: int | None, most: int | None) -> list[tuple[int, int, int]]:
    """The same, by looking through all rows."""
    places, rooms, batch, held = [], [], 0, 0
    for length in lengths:
        fitting = [row for row, room in enumerate(rooms) if room >= length]
        if algorithm == "next_fit":
            fitting = [row for row in fitting if row == len(rooms) - 1]
        if held == most or (not fitting and len(rooms) == rows):
            batch, rooms, held, fitting = batch + 1, [], 0, []
        if not fitting:
            rooms.append(20)
            fitting = [len(rooms) - 1]
        row = min(fitting, key=lambda row: (rooms[row], row)) if algorithm == "best_fit" else fitting[0]
        places.append((batch, row, 20 - rooms[row]))
        rooms[row] -= length
        held += 1
    return places


@pytest.mark.parametrize("algorithm", ["first_fit_decreasing", "spfhp", "lpfhp"])
def test_work_follows_the_lengths_not_the_sequences(algorithm: str) -> None:
    few, many = (np.tile(np.arange(1, 101), times) for times in (10, 1000))
    limits = Limits(100, 16, 40)
    assert calls(lambda: ALGORITHMS[algorithm](many, limits)) < 2 * calls(lambda: ALGORITHMS[algorithm](few, limits))


@pytest.mark.parametrize("bad", [[0], [21], [[1]], [1.5], [-3]])
def test_what_fits_no_row_is_named(bad: list) -> None:
    with pytest.raises(PackingError, match=r"^(sequence 0|lengths are whole numbers)"):
        ALGORITHMS["first_fit"](np.array(bad), Limits(20, 2))


def test_limits_that_nothing_fits() -> None:
    for wrong in ({"tokens": 0}, {"tokens": 4, "rows": 0}, {"tokens": 4, "across_rows": True}):
        with pytest.raises(PackingError):
            Limits(**wrong)


# ------------------------------------------------------------------------------------------------- the command


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["pack-lengths", *arguments])
    assert result.exit_code in (0, 2), result.output
    return result.output


def test_the_command_knows_every_packer() -> None:
    """It has their names without importing them."""
    assert [*ARRIVAL, *AHEAD] == list(ALGORITHMS)


def test_the_command_says_it_in_json() -> None:
    said = json.loads(_run("seed004", "--max-valid-num", "40", "--algorithm", "first-fit", "--json"))
    assert (said["batches"], said["padded_batches"], said["algorithm"]) == (56, 100, "first_fit")
    assert said["fill"] == pytest.approx(204_491 / (56 * 16 * 256))
    assert said["speedup"] == pytest.approx(100 / 56)


@pytest.mark.parametrize("text", ["5\n3\n4\n", "[5, 3, 4]"])
def test_a_file_of_lengths(text: str, tmp_path: Path) -> None:
    path = tmp_path / "lengths.txt"
    path.write_text(text)
    assert json.loads(_run(str(path), "--rows", "1", "--tokens", "8", "--json"))["batches"] == 2
    np.save(tmp_path / "lengths.npy", np.array([5, 3, 4]))
    assert json.loads(_run(str(tmp_path / "lengths.npy"), "--rows", "1", "--tokens", "8", "--json"))["batches"] == 2


@pytest.mark.parametrize("text", ["", "x", "[1, 2", "[1.5]", "[true]", "-3", "0", "9" * 6000, "[" * 10_000])
def test_a_bad_file_gets_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "lengths.txt"
    path.write_text(text)
    with pytest.raises(PackingError, match="whole numbers"):
        read_lengths(path)


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["nothing.txt"], ["short", "--depth", "2"], ["short", "--tokens", "9"]]
)
def test_bad_arguments(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, ["pack-lengths", *arguments])
    assert result.exit_code != 0
