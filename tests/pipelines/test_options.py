from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.pipelines.options import Bytes, Shapes, kind_of, make_option, option, show_dims

FORM = Literal["tanh", "erf"]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, "1_000", 1000),
        (int, -3, -3),
        (float, "1e-3", 1e-3),
        (float, 2, 2.0),
        (bool, "true", True),
        (bool, False, False),
        (str, "a b", "a b"),
        (FORM, "tanh", "tanh"),
        (Literal[13, 17], "17", 17),
        (Bytes, "1MiB", 2**20),
        (Bytes, "512KB", 512_000),
        (Bytes, "1.5GiB", 3 * 2**29),
        (Bytes, "1_000", 1000),
        (Bytes, "8 mib", 2**23),
        (Bytes, "12B", 12),
        (Bytes, 7, 7),
        (tuple[str, ...], ["a", "b"], ("a", "b")),
        (tuple[str, ...], "a", ("a",)),
        (tuple[int, ...], ["1", 2], (1, 2)),
        (int | None, "none", None),
        (int | None, "4", 4),
        (Shapes, {"x": "8x128", "y": [1, "seq", None]}, {"x": (8, 128), "y": (1, "seq", None)}),
        (Shapes, {"x": "batchx?"}, {"x": ("batch", None)}),
        (Shapes, {"x": 5, "y": []}, {"x": (5,), "y": ()}),
        (Shapes, {"x": ["max_len"]}, {"x": ("max_len",)}),
    ],
)
def test_reading(annotation, value, expected):
    read = kind_of(annotation).read(value)
    assert read == expected
    assert type(read) is not bool or type(expected) is bool


@pytest.mark.parametrize(
    ("annotation", "value", "complaint"),
    [
        (int, "1.5", "not a whole number"),
        (int, "1__0", "not a whole number"),
        (int, True, "not a whole number"),
        (float, "fast", "not a number"),
        (float, "nan", "not a number"),
        (bool, "1", "not true or false"),
        (str, 5, "not text"),
        (FORM, "tan", "not one of tanh, erf"),
        (Bytes, "12Q", "such as 1MiB"),
        (Bytes, "1K", "such as 1MiB"),
        (Bytes, "-1", "such as 1MiB"),
        (Bytes, -1, "such as 1MiB"),
        (Bytes, "1.5", "such as 1MiB"),
        (tuple[int, ...], ["1", "b"], "not a whole number"),
        (Shapes, "8x128", "input=8x128"),
        (Shapes, {"x": "8xx128"}, "not a dimension"),
        (Shapes, {"x": [-1, 4]}, "not a dimension"),
        (Shapes, {"x": "-1x4"}, "not a dimension"),
        (Shapes, {"x": 1.5}, "not a shape"),
    ],
)
def test_a_bad_value_is_refused(annotation, value, complaint):
    with pytest.raises(ValueError, match=complaint):
        kind_of(annotation).read(value)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (1, "1"), (1000, "1KB"), (1024, "1KiB"), (2**20, "1MiB"), (1536, "1536"), (3 * 2**29, "1536MiB")],
)
def test_bytes_print_with_a_unit(count, text):
    assert str(Bytes(count)) == text


DIMS = st.lists(st.one_of(st.integers(0, 2**40), st.none(), st.sampled_from(["batch", "seq", "max_len", "a b", "n+1"])))


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (int, st.integers()),
        (float, st.floats(allow_nan=False)),
        (bool, st.booleans()),
        (str, st.text()),
        (Bytes, st.integers(min_value=0)),
        (tuple[str, ...], st.lists(st.text())),
        (int | None, st.none() | st.integers()),
    ],
)
def test_what_is_shown_reads_as_the_same(annotation, values):
    kind = kind_of(annotation)

    @given(values)
    def check(value):
        typed = kind.read(value)
        assert kind.read(kind.show(typed)) == typed
        assert kind.read(typed) == typed

    check()


@given(DIMS)
def test_shapes_shown_read_as_the_same(dims):
    shapes = kind_of(Shapes).read({"x": dims})
    assert kind_of(Shapes).read({"x": show_dims(shapes["x"])}) == shapes


@pytest.mark.parametrize("annotation", [list[int], dict, object, int | str])
def test_other_types_cannot_be_options(annotation):
    with pytest.raises(ValueError, match="not a type of options"):
        kind_of(annotation)


def test_an_option_describes_itself():
    made = make_option("max_bytes", Bytes, option("1MiB", "how much"))
    assert (made.name, made.type, made.default, made.help) == ("max-bytes", "bytes", 2**20, "how much")
    assert made.default_text == "1MiB"
    assert not made.required
    required = make_option("version", int, option())
    assert required.required
    assert required.default_text == ""
    assert make_option("keep", tuple[str, ...], option(["a", "b,c"])).default_text == '{a,"b,c"}'
    assert make_option("form", FORM, "erf").type == "tanh|erf"
