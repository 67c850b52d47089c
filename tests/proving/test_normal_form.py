"""Polynomials, sums, truths, domains and numbers, one law at a time."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import pytest

from regraft.proving.atoms import Element, Pi, Power, exp
from regraft.proving.domain import Domain
from regraft.proving.equivalence import equal
from regraft.proving.numbers import closed_form
from regraft.proving.polynomial import Index, Polynomial, constant, power_of
from regraft.proving.reach import OutOfReach
from regraft.proving.roots import Radicand
from regraft.proving.signs import is_nonnegative, is_positive
from regraft.proving.sizes import Size
from regraft.proving.sums import for_all, largest, total
from regraft.proving.truths import Comparison, Flag, by_cases, choose, compare, complement, larger
from tests.proving.evaluate import Numbers

H, J, K = Index("a", 0), Index("a", 1), Index("b", 2)
HALF = Fraction(1, 2)


def element(name: str, *index: Index) -> Polynomial:
    return power_of(Element(name, index))


X, Y = element("x"), element("y")
C, D = (power_of(Flag(Element(name, ()))) for name in "cd")


def number(p: Polynomial, x: float = 0.0, y: float = 0.0) -> float:
    import numpy as np

    return Numbers({"x": np.array(x), "y": np.array(y)}, {"x": "", "y": ""}, {}).polynomial(p, {})


def test_polynomials_are_equal_where_they_are() -> None:
    assert X * X + X * Y.scaled(2) + Y * Y == (X + Y) ** 2
    assert (X + Y) * (X - Y) == X**2 - Y**2
    assert hash(X + Y) == hash(Y + X)
    assert constant(0) == X - X
    assert not X - X
    assert X != Y
    assert (X + constant(2)).text == "2 + x"


def test_atoms_of_different_classes_with_the_same_parts_differ() -> None:
    assert Size("a") != Radicand("a")  # type: ignore[arg-type]
    assert power_of(Element("x", ())) != C


def test_powers_add_up() -> None:
    domain = Domain()
    root = domain.power(X, HALF)
    assert root * root == X
    assert domain.power(root, -2) * X == constant(1)
    assert domain.power(X + Y, -1) * (X + Y) != X
    assert equal(domain.power(X + Y, -1) * (X + Y), constant(1)) is None


def test_roots_of_numbers_are_exact() -> None:
    domain = Domain()
    root = {n: domain.power(constant(n), HALF) for n in (2, 3, 6, 8, 9)}
    assert root[2] * root[3] == root[6]
    assert root[8] == root[2].scaled(2)
    assert root[9] == constant(3)
    assert root[2] * root[2] == constant(2)
    assert domain.power(constant(Fraction(1, 2)), HALF) * root[2] == constant(1)
    assert not domain.obligations


def test_the_root_of_a_square_is_no_element() -> None:
    domain = Domain()
    assert domain.power(X * X, HALF) != X
    assert domain.power(X * X * Y * Y, HALF) != X * Y
    assert domain.power(exp(X) * exp(X), HALF) == exp(X)


@pytest.mark.parametrize(
    ("p", "e", "wanted"),
    [
        (X, -1, ["x != 0"]),
        (X, HALF, ["x >= 0"]),
        (X, -HALF, ["x != 0", "x >= 0"]),
        (X + Y, -1, ["x + y != 0"]),
        (X.scaled(-3), -1, ["x != 0"]),
        (X * Y, -1, ["x != 0", "y != 0"]),
        (exp(X) + constant(1), -1, []),
        (exp(X), HALF, []),
        (X * X + constant(1), HALF, []),
        (X * X, HALF, []),
        (constant(4), HALF, []),
    ],
)
def test_roots_and_inverses_oblige(p: Polynomial, e: Fraction, wanted: list[str]) -> None:
    domain = Domain()
    domain.power(p, e)
    assert sorted(map(str, domain.obligations)) == wanted


@pytest.mark.parametrize(("p", "e"), [(constant(0), -1), (constant(-2), HALF), (X - X, Fraction(-1, 2))])
def test_what_is_defined_nowhere_is_out_of_reach(p: Polynomial, e: Fraction) -> None:
    with pytest.raises(OutOfReach, match="never holds"):
        Domain().power(p, e)


def test_logarithms_of_products_are_sums() -> None:
    domain = Domain()
    assert domain.log(exp(X) * exp(Y).scaled(6)) - domain.log(constant(2)) - domain.log(constant(3)) == X + Y
    assert not domain.obligations
    domain.log(X)
    assert [str(one) for one in domain.obligations] == ["x > 0"]


def test_an_obligation_under_a_guard_is_weaker() -> None:
    plain, guarded = Domain(), Domain()
    plain.require(X, "!=0")
    inner, _ = guarded.inner()
    inner.require(X, "!=0")
    guarded.take(inner, C)
    (always,), (sometimes,) = plain.obligations, guarded.obligations
    assert always.implies(sometimes)
    assert not sometimes.implies(always)
    assert sometimes.implies(sometimes)


def test_an_obligation_above_zero_is_the_strongest() -> None:
    domain = Domain()
    for must in (">0", ">=0", "!=0"):
        domain.require(X, must)  # type: ignore[arg-type]
    above, least, other = domain.obligations
    assert above.implies(least)
    assert above.implies(other)
    assert not least.implies(other)
    assert not other.implies(above)


def test_signs() -> None:
    assert is_positive(exp(X) + Y * Y)
    assert not is_positive(Y * Y)
    assert is_nonnegative(Y * Y)
    assert not is_nonnegative(Y)
    assert not is_nonnegative(Y * Y - exp(X))
    assert is_nonnegative(total(element("x", H) ** 2, [H], 9))


def test_sums_do_not_depend_on_names_or_order() -> None:
    x, other = element("x", H), element("x", J)
    assert total(x, [H], 9) == total(other, [J], 9)
    both = element("m", H, K)
    assert total(total(both, [H], 9), [K], 9) == total(total(both, [K], 9), [H], 9)
    assert total(both, [H, K], 9) == total(both, [K, H], 9)


def test_what_a_sum_does_not_bind_moves_out() -> None:
    x, y = element("x", H), element("y", K)
    assert total(x * y, [H], 9) == total(x, [H], 9) * y
    assert total(y, [H], 9) == y * power_of(Size("a"))
    assert total(constant(3), [H], 9) == power_of(Size("a")).scaled(3)
    assert total(x + y, [H], 9) == total(x, [H], 9) + y * power_of(Size("a"))


def test_sums_inside_sums_are_one() -> None:
    m, v = element("m", H, K), element("v", K)
    inner = total(m * v, [K], 9)
    assert total(inner * element("u", H), [H], 9) == total(m * v * element("u", H), [H, K], 9)


def test_a_square_of_a_sum_is_no_sum_of_squares_and_nothing_is_captured() -> None:
    x = element("x", H)
    once = total(x, [H], 9)
    assert total(x * once * once, [H], 9) == once**3
    assert total(x * x * x, [H], 9) != once**3
    assert total(x * total(element("m", H, J), [J], 9), [H], 9) != total(x * total(element("m", J, H), [J], 9), [H], 9)


def test_sums_over_an_axis_of_known_size() -> None:
    at = Index("3", 0)
    assert total(constant(1), [at], 9) == constant(3)


def test_maxima_do_not_depend_on_names() -> None:
    assert largest(element("x", H), [H]) == largest(element("x", J), [J])
    assert largest(Y, [H]) == Y
    assert largest(element("m", H, J), [H]) != largest(element("m", J, H), [H])


def test_what_holds_for_all_does_not_join_indices() -> None:
    both = for_all(for_all(element("m", H, J), [J]), [H])
    assert both != for_all(element("m", H, H), [H])
    assert both == for_all(for_all(element("m", K._replace(axis="a"), J), [J]), [K._replace(axis="a")])


def test_truths_are_idempotent() -> None:
    assert C * C == C
    assert C * complement(C) == constant(0)
    assert choose(C, choose(C, X, Y), Y) == choose(C, X, Y)


RELATIONS = ("<", "=", ">")


@pytest.mark.parametrize(("first", "second"), [*product(product(RELATIONS, (1, 2)), repeat=2)], ids=str)
def test_two_comparisons_at_once(first: tuple[str, int], second: tuple[str, int]) -> None:
    a, b = (power_of(Comparison(X, relation, Fraction(n))) for relation, n in (first, second))  # type: ignore[arg-type]
    for x in (0.0, 1.0, 1.5, 2.0, 3.0):
        assert number(a * b, x) == number(a, x) * number(b, x)


def test_comparisons_have_one_form() -> None:
    assert compare(X, "<", Y) == compare(Y, ">", X)
    assert compare(X.scaled(2), ">", constant(6)) == compare(X, ">", constant(3))
    assert compare(X.scaled(-1), ">", constant(6)) == compare(X, "<", constant(-6))
    assert compare(constant(1), "<", constant(2)) == constant(1)


def test_less_is_the_opposite_of_at_least_for_whole_numbers_only() -> None:
    def both(total: bool) -> Polynomial:
        return sum((compare(X, relation, Y, total) for relation in RELATIONS), constant(0))  # type: ignore[arg-type]

    assert both(True) == constant(1)
    assert both(False) != constant(1)


def test_functions_of_choices_are_choices() -> None:
    assert compare(C, "=", constant(0)) == complement(C)
    assert compare(C + D, ">", constant(1)) == C * D
    assert by_cases(choose(C, X, Y), lambda p: p * p) == choose(C, X * X, Y * Y)


@pytest.mark.parametrize("x", [-2.0, 0.0, 1.0, 3.0])
@pytest.mark.parametrize("y", [-2.0, 0.0, 2.0])
def test_the_larger_of_two(x: float, y: float) -> None:
    assert number(larger(X, Y), x, y) == max(x, y)
    assert number(larger(-X, X), x) == abs(x)
    assert number(larger(larger(X, constant(0)), Y), x, y) == max(x, 0, y)
    assert larger(X, Y) == larger(Y, X)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (2.0, constant(2)),
        (0.1, constant(Fraction(1, 10))),
        (-0.044715, constant(Fraction(-44715, 10**6))),
        (1e-5, constant(Fraction(1, 10**5))),
        (1 / 3, constant(Fraction(1, 3))),
        (-2 / 7, constant(Fraction(-2, 7))),
        (1.4142, constant(Fraction(14142, 10**4))),
        (7, constant(7)),
        (True, constant(1)),
        (math.sqrt(2), power_of(Radicand(2), HALF)),
        (-math.sqrt(0.5), power_of(Radicand(2), HALF).scaled(Fraction(-1, 2))),
    ],
)
def test_floats_stand_for_numbers(value: float, wanted: Polynomial) -> None:
    assert closed_form(value) == wanted


def test_a_root_over_pi_is_one() -> None:
    found = closed_form(math.sqrt(2 / math.pi))
    assert closed_form(math.pi) == power_of(Pi())
    assert found**2 * closed_form(math.pi) == constant(2)
    assert number(found) == pytest.approx(math.sqrt(2 / math.pi), rel=1e-15)


def test_other_floats_are_what_they_are() -> None:
    value = 0.12345678901234567
    assert closed_form(123456789.12345678) == constant(Fraction(123456789.12345678))
    assert closed_form(value) == constant(Fraction(value))
    assert closed_form(1.4142135) != closed_form(math.sqrt(2))
    assert closed_form(math.nextafter(math.nextafter(math.sqrt(2), 2), 2)) != closed_form(math.sqrt(2))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_out_of_reach(value: float) -> None:
    with pytest.raises(OutOfReach):
        closed_form(value)


def test_denominators_are_cleared() -> None:
    domain = Domain()
    inverse = domain.power(constant(1) + X, -1)
    assert equal(inverse * X, constant(1) - inverse) is None
    assert equal(inverse * X, constant(1) + inverse) is not None
    nested = domain.power(constant(1) + inverse, -1)
    assert equal(nested * (X + constant(2)), X + constant(1)) is None
    assert any(isinstance(atom, Power) for atom in nested.atoms)


def test_a_product_of_too_many_terms_is_out_of_reach() -> None:
    many = Polynomial({monomial: Fraction(1) for n in range(300) for monomial in element(f"x{n}").terms})
    with pytest.raises(OutOfReach, match="300 and 300 terms"):
        many * many
