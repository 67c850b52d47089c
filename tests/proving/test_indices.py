"""Indices as whole numbers: digits, ranges, sizes and pieces, one law at a time."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from regraft.proving.atoms import Element
from regraft.proving.digits import Digit, Position, digit, exact, number_of, place_at
from regraft.proving.equivalence import equal
from regraft.proving.folds import fold
from regraft.proving.pieces import pieces
from regraft.proving.polynomial import Index, Place, Polynomial, constant, power_of
from regraft.proving.ranges import is_below, is_natural
from regraft.proving.reach import OutOfReach
from regraft.proving.rounding import ceil, floor, is_whole, nearest, trunc
from regraft.proving.sizes import dim, expanded, name_of, size
from regraft.proving.substitution import substituted
from regraft.proving.sums import Sum, largest, total
from regraft.proving.tensor import axis_of
from regraft.proving.truths import at_least, compare, complement
from tests.proving.evaluate import Numbers

H, J, K = Index("12", 0), Index("64", 1), Index("768", 2)
i, j, k = map(number_of, (H, J, K))
b, s = number_of(Index("b", 3)), number_of(Index("s", 4))
HALF = Fraction(1, 2)
N = constant


def x(*places: Place) -> Polynomial:
    return power_of(Element("x", places))


@pytest.mark.parametrize(
    "text",
    ["7", "s", "2*s", "s + 1", "-s + 9", "2*b*s - 3", "b*s + s + 2", "floor((s + 1)/2)", "3*min(4, s) + 1", "(a b)*s"],
)
def test_names_of_sizes_are_read_as_they_are_written(text: str) -> None:
    assert str(dim(text)) == text
    assert name_of(expanded(text)) == text


def test_products_of_sizes_are_written_out_and_sums_are_not() -> None:
    assert size("2*b*s") == size("b") * size("s").scaled(2)
    assert size("b + s") != size("b") + size("s")
    assert expanded("b + s") == size("b") + size("s")


def test_what_is_no_size_names_no_axis() -> None:
    for one in (x(), size("s").scaled(HALF), i):
        with pytest.raises(OutOfReach, match="an axis of size"):
            name_of(one)
    with pytest.raises(OutOfReach, match="an axis of 0 elements"):
        axis_of(N(0))


def test_a_computed_size_may_be_zero_and_a_free_number_is_none() -> None:
    half = expanded("floor(s/2)")
    assert is_natural(half)
    assert not is_natural(half - N(1))
    assert is_natural(half - number_of(Index("floor(s/2)", 0)) - N(1))
    for one in (size, expanded):
        with pytest.raises(OutOfReach, match="nothing is known"):
            one("~3 + 1" if one is expanded else "~3")


@pytest.mark.parametrize(
    ("p", "natural"),
    [
        (i, True),
        (N(11) - i, True),
        (N(10) - i, False),
        (i - j, False),
        (N(767) - i.scaled(64) - j, True),
        (size("s") - s - N(1), True),
        (size("s") - s - N(2), False),
        (size("b") * size("s") - b * size("s") - s - N(1), True),
        (size("b + s") - size("s") - N(1), True),
        (size("s") - N(2), False),
        (x(), False),
        (i * j, False),
        (N(1) - at_least(i - j), True),
    ],
)
def test_ranges(p: Polynomial, natural: bool) -> None:
    assert is_natural(p) is natural


def test_below_is_from_zero_on() -> None:
    assert is_below(i, N(12))
    assert not is_below(i - N(1), N(12))
    assert not is_below(i, N(11))


def test_a_mix_of_all_digits_is_the_index() -> None:
    assert place_at(digit(k, N(64), N(12)).scaled(64) + digit(k, N(1), N(64))) == K
    three = [digit(k, N(96), N(8)).scaled(96), digit(k, N(8), N(12)).scaled(8), digit(k, N(1), N(8))]
    assert place_at(three[0] + three[1] + three[2]) == K
    assert place_at(three[1] + three[2]) == digit(k, N(1), N(96))
    assert place_at(three[0] + three[2]) == three[0] + three[2]


def test_the_digits_of_a_mix_are_what_was_mixed() -> None:
    mixed = i.scaled(64) + j
    assert digit(mixed, N(64), N(12)) == i
    assert digit(mixed, N(1), N(64)) == j
    assert digit(mixed, N(32), N(24)) == i.scaled(2) + digit(j, N(32), N(2))
    assert digit(mixed, N(128), N(6)) == digit(i, N(2), N(6))
    assert digit(b * size("s") + s, size("s"), size("b")) == b
    assert digit(b * size("s") + s, N(1), size("s")) == s


def test_a_digit_of_a_digit_is_a_digit() -> None:
    assert digit(digit(k, N(64), N(12)), N(2), N(6)) == digit(k, N(128), N(6))
    assert digit(digit(k, N(1), N(64)), N(8), N(8)) == digit(k, N(8), N(8))


def test_what_goes_beyond_a_digit_stays() -> None:
    found = digit(i + j, N(1), N(64))
    assert {type(atom) for atom in found.atoms} == {Digit}
    assert digit(i + N(60), N(64), N(2)) != constant(0)


@pytest.mark.parametrize(("stride", "radix"), [*itertools.product((1, 2, 3, 8, 64), (2, 4, 12))])
def test_digits_are_what_they_say(stride: int, radix: int) -> None:
    numbers = Numbers({}, {}, {})
    for p in (i.scaled(64) + j, k, j.scaled(2) + N(3), i - j):
        for at in ((0, 0, 0), (3, 41, 500), (11, 63, 767), (7, 32, 95)):
            here = {H: (at[0],), J: (at[1],), K: (at[2],)}
            meant = round(numbers.polynomial(p, here)) // stride % radix
            assert numbers.polynomial(digit(p, N(stride), N(radix)), here) == meant


def test_division_without_a_rest() -> None:
    assert exact(size("s") * size("b").scaled(6), size("b").scaled(2)) == size("s").scaled(3)
    assert exact(size("s").scaled(3), N(2)) is None
    assert exact(size("s"), size("b")) is None


def test_whole_numbers_are_compared_in_one_form() -> None:
    assert compare(i, "<", N(3)) == complement(at_least(i - N(3)))
    assert compare(i.scaled(2), ">", N(3)) == compare(i, ">", N(1))
    assert compare(i, "=", N(3)) == at_least(i - N(3)) - at_least(i - N(4))
    assert compare(i, "<", N(12)) == constant(1)
    assert compare(j, ">", i) == complement(at_least(i - j))


def test_sums_fall_into_runs() -> None:
    chosen = at_least(i - N(5)) * x(place_at(i - N(5)))
    assert total(chosen, [H], 9) == total(x(Index("7", 9)), [Index("7", 9)], 10)
    assert total(compare(i, "=", N(5)) * x(H), [H], 9) == x(5)
    assert total(at_least(i - N(5)), [H], 9) == N(7)


def test_sums_over_digits_and_over_their_mix_are_the_same() -> None:
    whole = total(x(K), [K], 9)
    assert total(x(place_at(i.scaled(64) + j)), [H, J], 9) == whole
    apart = x(place_at(digit(k, N(64), N(12))), place_at(digit(k, N(1), N(64))))
    assert total(apart, [K], 9) == total(x(H, J), [H, J], 9)
    assert total(x(place_at(i + j)), [H, J], 9) != whole
    assert total(x(place_at(i.scaled(64) + j)) * x(H), [H, J], 9) != whole


def test_maxima_over_digits_and_over_their_mix_are_the_same() -> None:
    assert largest(x(place_at(i.scaled(64) + j)), [H, J]) == largest(x(K), [K])
    apart = x(place_at(digit(k, N(64), N(12))), place_at(digit(k, N(1), N(64))))
    assert largest(apart, [K]) == largest(x(H, J), [H, J])


def test_an_order_matters_to_what_is_folded() -> None:
    assert fold("ArgMax", x(H, J), [H]) != fold("ArgMax", x(J, H), [H])
    assert fold("ArgMax", x(H, J), [H]) == fold("ArgMax", x(Index("12", 7), J), [Index("12", 7)])


def test_places_are_put_in_under_sums() -> None:
    row = total(x(H, J) * compare(i, ">", j), [J], 9)
    assert substituted(row, {H: 0}) == constant(0)
    assert {type(atom) for atom in substituted(row, {H: 2}).atoms} == {Sum}
    numbers = Numbers({"x": np.arange(768.0).reshape(12, 64)}, {"x": "12 64"}, {})
    for n in range(12):
        assert numbers.polynomial(substituted(row, {H: n}), {}) == numbers.polynomial(row, {H: (n,)})


def test_equal_at_any_index_is_shown_run_by_run() -> None:
    pieced = complement(at_least(i - N(5))) * x(H) + at_least(i - N(5)) * x(H)
    assert equal(pieced, x(H)) is None
    assert equal(at_least(i - N(5)) + complement(at_least(i - N(4))), N(1)) is not None
    squared = at_least(i - N(5)) * at_least(i - N(7))
    assert equal(squared, at_least(i - N(7))) is None
    assert pieces(x(H), H, 9) == []


@pytest.mark.parametrize("value", [-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 3.2])
def test_numbers_are_rounded_as_python_does(value: float) -> None:
    p = constant(Fraction(value))
    assert [one(p).number for one in (floor, trunc, nearest)] == [value // 1, int(value), round(value)]
    assert ceil(p).number == -(-value // 1)


def test_what_is_whole_is_not_rounded() -> None:
    whole = power_of(Element("n", (H,), whole=True)) * i + at_least(i - j).scaled(3)
    assert is_whole(whole)
    assert floor(whole) == ceil(whole) == trunc(whole) == nearest(whole) == whole
    assert not is_whole(whole.scaled(HALF) + x())
    assert floor(whole + x()) == whole + floor(x())
    assert nearest(N(1) + x()) != N(1) + nearest(x())
    assert floor(floor(x())) == floor(x())
    assert nearest(-x()) == -nearest(x())


def test_half_an_index_is_a_digit() -> None:
    half = k.scaled(HALF)
    assert floor(half) == trunc(half) == (k - digit(k, N(1), N(2))).scaled(HALF)
    assert power_of(Position(K)) == k
