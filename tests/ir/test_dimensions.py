"""What a stated dimension says."""

import pytest

from regraft.ir.dimensions import stated


@pytest.mark.parametrize(
    "dim", [0, 1, 7, "N", "batch", "seq_len", "unk__12", "input_dynamic_axes_1", "None_0", "past + 1"]
)
def test_says_something(dim):
    assert stated(dim) == dim


@pytest.mark.parametrize("dim", [None, -1, -2, -(2**63), "", "-1", "?", "*", "...", "0", "17", "?3", "~x"])
def test_says_nothing(dim):
    assert stated(dim) is None


GENERIC = (
    "None, none, NONE, <None>, unk, Unknown, unknown_dim, dynamic, dynamic axis, Dim, N/A, any, null, var, undefined"
)


@pytest.mark.parametrize("name", [*GENERIC.split(", "), " None ", "DynamicDimension", "FreeDimension"])
def test_name_of_every_open_dimension_is_none(name):
    assert stated(name) is None
