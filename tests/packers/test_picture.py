"""Pictures of packings: what is drawn is what was packed."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result

from regraft.cli import cli
from regraft.packers.picture import COLUMNS, LINES, MOST, draw, few_batches
from regraft.runtime.packing import ALGORITHMS, Limits, PackingError, first_fit, next_fit, read_lengths

SVG = "{http://www.w3.org/2000/svg}"


class Piece(NamedTuple):
    batch: tuple[float, float]
    row: int
    start: int
    width: int
    colour: str


def _parts(picture: str) -> list[list[Piece]]:
    """The pieces of the padded part, and of the packed one."""
    root = ElementTree.fromstring(picture)
    middle = float(root.findall(f"{SVG}text")[1].attrib["y"])
    parts: list[list[Piece]] = [[], []]
    for group in root.findall(f"{SVG}g"):
        x, y = map(float, re.fullmatch(r"translate\((\S+) (\S+)\)", group.attrib["transform"]).groups())
        for path in group.findall(f"{SVG}g/{SVG}path"):
            for row, start, width in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path.attrib["d"]):
                parts[y > middle].append(Piece((y, x), int(start), int(row), int(width), path.attrib["class"]))
    return parts


def _captions(picture: str) -> list[str]:
    return [text.text for text in ElementTree.fromstring(picture).findall(f"{SVG}text")]


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_token_is_drawn_once_in_each_part(algorithm: str, across: bool) -> None:
    limits = Limits(256, 16, 40, across)
    packing = ALGORITHMS[algorithm](read_lengths("seed004").values, limits)
    shown, picture = few_batches(packing), draw(packing, algorithm)
    assert len(picture) < 60_000
    for part in _parts(picture):
        assert sum(piece.width for piece in part) == shown.lengths.sum()
        assert all(piece.row < 16 and piece.start + piece.width <= 256 for piece in part)
        places = [(p.batch, p.row, token) for p in part for token in range(p.start, p.start + p.width)]
        assert len(set(places)) == len(places)
    padded, packed = _parts(picture)
    assert [piece.width for piece in sorted(padded)] == shown.lengths.tolist()
    assert {piece.start for piece in padded} == {0}
    assert len({piece.batch for piece in packed}) == shown.batches
    assert shown.fill == pytest.approx(packing.fill, abs=0.06)  # a few batches stand for all


def test_pieces_in_a_row_have_colours_unlike_their_neighbours() -> None:
    packed = sorted(_parts(draw(next_fit(read_lengths("short").values, Limits(128, 16, None, True)), "next_fit"))[1])
    neighbours = [(a, b) for a, b in pairwise(packed) if a[:2] == b[:2]]
    assert len(neighbours) > 50
    assert all(a.colour != b.colour and a.start + a.width == b.start for a, b in neighbours)


def test_captions_say_what_is_drawn() -> None:
    above, below = _captions(draw(first_fit([5, 3, 4], Limits(8, 1)), "first_fit"))
    assert above == "padded: 3 rows of 8 tokens, 50.0% filled"
    assert below == "first_fit: 2 rows of 8 tokens, 75.0% filled, in 2 of 2 batches"


def test_a_sequence_longer_than_a_row_is_padded_to_its_own_length() -> None:
    picture = draw(next_fit([10, 2], Limits(4, 3, None, True)), "next_fit")
    assert _captions(picture)[0] == "padded: 2 rows of 10 tokens, 60.0% filled"
    padded, packed = _parts(picture)
    assert [(p.row, p.start, p.width) for p in sorted(padded)] == [(0, 0, 10), (1, 0, 2)]
    assert [(p.row, p.start, p.width) for p in sorted(packed)] == [(0, 0, 4), (1, 0, 4), (2, 0, 2), (2, 2, 2)]


def test_any_number_of_rows_is_one_batch() -> None:
    packing = first_fit([3, 3, 2], Limits(4))
    assert [(p.row, p.start, p.width) for p in sorted(_parts(draw(packing, "first_fit"))[1])] == [
        (0, 0, 3),
        (1, 0, 3),
        (2, 0, 2),
    ]


@pytest.mark.parametrize("limits", [Limits(4), Limits(4, 2)])
def test_no_sequences_leave_the_picture_empty(limits: Limits) -> None:
    picture = draw(first_fit(np.zeros(0, int), limits), "first_fit")
    assert _parts(picture) == [[], []]
    assert _captions(picture)[1] == "first_fit: 0 rows of 4 tokens, 0.0% filled, in 0 of 0 batches"


def test_the_batches_drawn_are_evenly_spread() -> None:
    """Those who know all lengths put the longest first."""
    packing = ALGORITHMS["spfhp"](read_lengths("squad").values, Limits(384, 16))
    assert few_batches(packing).fill == pytest.approx(packing.fill, abs=0.01)
    assert len(few_batches(packing).lengths) <= COLUMNS * LINES * 16


@pytest.mark.parametrize("limits", [Limits(1, MOST + 1), Limits(MOST + 1, 1), Limits(1)])
def test_a_batch_too_large_for_a_picture_is_refused(limits: Limits) -> None:
    with pytest.raises(PackingError, match="give fewer rows"):
        draw(first_fit(np.ones(MOST + 1, int), limits), "first_fit")


def test_the_largest_picture_stays_small() -> None:
    """Each sequence goes across rows."""
    lengths = np.array([1] + [128] * (MOST - 1))
    packing = next_fit(lengths, Limits(128, MOST, None, True))
    picture = draw(packing, "next_fit")
    assert len(_parts(picture)[1]) == 2 * MOST - 1
    assert len(picture) < 60_000


def test_few_of_many_large_batches_are_drawn() -> None:
    assert few_batches(first_fit(np.full(4 * MOST, 3), Limits(4, MOST))).batches == 1


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["pack-lengths", *map(str, arguments)])


def test_the_command_draws(tmp_path: Path) -> None:
    path = tmp_path / "rows.svg"
    result = _run("seed004", "--max-valid-num", 40, "--picture", path)
    assert result.exit_code == 0, result.stderr
    assert "packed: 56 batches" in result.stdout
    assert path.read_text() == draw(first_fit(read_lengths("seed004").values, Limits(256, 16, 40)), "first_fit")


@pytest.mark.parametrize("name", [".", "no/rows.svg", "x" * 300 + ".svg", "lengths.txt", "link.svg"])
def test_where_no_picture_goes_gets_one_line(name: str, tmp_path: Path) -> None:
    lengths = tmp_path / "lengths.txt"
    lengths.write_text("5\n3\n")
    (tmp_path / "link.svg").symlink_to(lengths)
    result = _run(lengths, "--picture", tmp_path / name)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert lengths.read_text() == "5\n3\n"
