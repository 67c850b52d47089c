"""What comes from outside: whatever is wrong with it is one error of the reader's kind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from regraft.errors import ModelError, PassError
from regraft.outside import (
    DEPTH,
    Row,
    check_form,
    first_bytes,
    open_file,
    parse_json,
    parse_toml,
    read_arrays,
    read_text,
    whole,
)

BAD_JSON = [
    "",
    "{",
    "nul",
    "[" * 100_000,
    "[" * (DEPTH + 1) + "]" * (DEPTH + 1),
    "9" * 5000,
    '{"a": ' + "1" * 5000 + "}",
]
BAD_TOML = ["a =", "a = " + "9" * 5000, "a = " + "[" * 5000, "a = " + "[" * 150 + "]" * 150, "\0", "a = 1\na = 2"]


@pytest.mark.parametrize(("parse", "text"), [(parse_json, t) for t in BAD_JSON] + [(parse_toml, t) for t in BAD_TOML])
def test_a_text_that_cannot_be_read_is_one_error(parse, text):
    with pytest.raises(PassError, match=r"^plan\.x: ") as caught:
        parse(text, "plan.x", PassError)
    assert len(str(caught.value)) < 400


def test_other_texts_are_read():
    nested = "[" * DEPTH + "]" * DEPTH
    assert parse_json(nested, "x") is not None
    assert parse_json('{"a": [1, 2.5, null, "é"]}', "x") == {"a": [1, 2.5, None, "é"]}
    assert parse_toml("a = 1", "x") == {"a": 1}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "gone", "loop", "zero byte", "too long"])
@pytest.mark.parametrize("read", [open_file, read_text, read_arrays, lambda p, e: first_bytes(p, 4, e)])
def test_what_is_no_plain_file_is_refused_without_waiting(tmp_path, kind, read):
    path = tmp_path / "x.npz"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/zero")
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "zero byte":
            path = Path("a\0b")
        case "too long":
            path = Path("a" * 5000)
    with pytest.raises(PassError, match="cannot read "):
        read(path, PassError)


def test_a_text_that_is_no_utf_8_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match=r"cannot read .*x: 'utf-8' codec"):
        read_text(tmp_path / "x")


@pytest.mark.parametrize("damage", ["cut", "pickle", "text", "lies"])
def test_damaged_arrays_are_refused(tmp_path, damage):
    path = tmp_path / "x.npy"
    np.save(path, np.array([{}], object) if damage == "pickle" else np.arange(100))
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-40])
    elif damage == "text":
        path.write_text("no array")
    elif damage == "lies":
        path.write_bytes(data.replace(b"(100,)", b"(9" + b"9" * 3 + b",)"))
    with pytest.raises(ModelError, match=r"cannot read .*x\.npy: "):
        read_arrays(path)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "²", "0x10", "9" * 5000, str(2**63)])
def test_a_number_that_is_none_is_refused(text):
    with pytest.raises(ModelError, match=r"size '.*', which is no number from 0"):
        whole(text, "size")


def test_the_form_of_a_value_is_held_against_what_is_wanted():
    form = {"name": str, "shape": ([(int, str, None)], None), "size?": float, "pairs?": [Row(str, [int])]}
    for good in (
        {"name": "x", "shape": [1, "b", None]},
        {"name": "x", "shape": None, "size": 1, "more": object()},
        {"name": "x", "shape": [], "pairs": [["a", [1]]]},
    ):
        check_form(good, form, "x")
    for bad, where in (
        ([], "the whole is not an object"),
        ({"shape": []}, "the whole is not an object with 'name'"),
        ({"name": 3, "shape": []}, ".name is not a text"),
        ({"name": "x", "shape": [1.5]}, ".shape is not a list or null"),
        ({"name": "x", "shape": [], "size": True}, ".size is not a number"),
        ({"name": "x", "shape": [2**70]}, ".shape is not"),
        ({"name": "x", "shape": [], "pairs": [["a"]]}, r".pairs\[0\] is not a list of 2"),
    ):
        with pytest.raises(ModelError, match=f"x: {where}"):
            check_form(bad, form, "x")
