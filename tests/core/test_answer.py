"""Answers: intersection, δ, outward printing."""

import math

import pytest

from calipers.core.answer import Answer, Grounds, Result, Side, exact_sides, number, outward, show_bracket


def side(value, grounds=Grounds.COMPUTED, delta=0.0):
    return Side(value, grounds, delta, "test")


def test_intersection_keeps_the_better_side_of_each():
    a = Answer(side(0.0), side(5.0))
    b = Answer(side(1.0), side(9.0))
    both = a & b
    assert (both.lower.value, both.upper.value) == (1.0, 5.0)
    assert both.gap == 4.0


def test_equal_sides_prefer_better_grounds():
    both = Answer(side(1.0), side(2.0)) & Answer(side(1.0, Grounds.EXACT), side(2.0))
    assert both.lower.grounds is Grounds.EXACT


def test_what_is_tighter_than_an_exact_side_by_rounding_leaves_it_exact():
    low, high = exact_sides(3.0, 1e-9, "exact", "proof")
    exact, rounded = Answer(low, high), Answer(side(3.0 - 1e-12), side(3.0 + 1e-12))
    for both in (exact & rounded, rounded & exact):
        assert both.exact
        assert (both.lower.value, both.upper.value) == (3.0 - 1e-12, 3.0 + 1e-12)  # no wider than either
        assert {s.method for s in (both.lower, both.upper)} == {"exact"}
        assert both.lower.witness == "proof"
        assert both.deterministic == (both.lower, both.upper)
    by_chance = Answer(side(3.0, Grounds.STATISTICAL, 0.01), side(3.0, Grounds.STATISTICAL, 0.01))
    both = exact & by_chance
    assert both.exact
    assert both.lower.value == low.value
    assert both.delta == pytest.approx(0.02)  # two looks that were spent in vain
    tighter = Answer(*exact_sides(3.0, 1e-12, "other"))
    assert (exact & tighter).lower.method == "other"
    with pytest.raises(ValueError, match="empty"):
        Answer(low, high) & Answer(side(3.5), side(9.0))


def test_delta_adds_up_over_winners_and_losers_and_leaves_a_deterministic_bracket():
    a = Answer(side(0.0, Grounds.STATISTICAL, 0.01), side(9.0))
    b = Answer(side(1.0, Grounds.STATISTICAL, 0.02), side(9.0))
    both = a & b
    assert both.delta == pytest.approx(0.03)
    assert both.deterministic[0].value == -math.inf
    assert both.deterministic[1].value == 9.0


def test_an_empty_bracket_is_an_error_and_nan_is_refused():
    with pytest.raises(ValueError, match="empty"):
        Answer(side(2.0), side(1.0))
    with pytest.raises(ValueError, match="NaN"):
        Answer(side(math.nan), side(1.0))


def test_an_estimate_outside_the_bracket_is_dropped():
    assert Answer(side(1.0), side(2.0), value=3.0).value is None
    assert Answer(side(1.0), side(2.0), value=1.5).value == 1.5


@pytest.mark.parametrize(
    ("low", "high"), [(6.41052, 6.94408), (-3.123456, -3.123455), (1e5, 1e5 + 1e-9), (-1e-9, 1e-9)]
)
def test_printed_brackets_contain_what_they_print(low, high):
    shown = show_bracket(low, high).strip("∈ []").split(", ")
    assert float(shown[0]) <= low
    assert float(shown[1]) >= high


def test_outward_moves_outward():
    assert outward(1.0, 0.0, -1.0) < 1.0 < outward(1.0, 0.0, 1.0)
    assert outward(math.inf, 1.0, 1.0) == math.inf
    low, high = exact_sides(2.0, 1e-12, "x")
    assert low.value < 2.0 - 9e-13
    assert high.value > 2.0 + 9e-13


def test_json_numbers():
    assert number(-math.inf) == "-inf"
    assert number(None) is None
    assert number(1.5) == 1.5


def test_a_look_spends_its_delta_once_and_other_looks_add():
    def read(value, look):
        return Answer(Side(value, Grounds.STATISTICAL, 0.01, "test", look=look), side(9.0))

    sequence = read(0.0, "a") & read(1.0, "a") & read(2.0, "a")
    assert sequence.delta == pytest.approx(0.01)
    assert sequence.lower.value == 2.0
    assert (sequence & read(1.0, "b")).delta == pytest.approx(0.02)
    assert (sequence & Answer(side(0.5), side(8.0))).delta == pytest.approx(0.01)
    assert (read(0.0, None) & read(0.0, None)).delta == pytest.approx(0.02)


def test_a_look_in_vain_is_spent_too():
    vain = Side(-math.inf, Grounds.NONE, 0.01, reason="no luck", look="a")
    assert (Answer(vain, side(9.0)) & Answer(side(0.0), side(8.0))).delta == pytest.approx(0.01)


def test_a_statistical_side_that_contradicts_a_deterministic_one_is_dropped():
    wrong = Answer(side(0.0), Side(1.0, Grounds.STATISTICAL, 0.01, "test")) & Answer(side(2.0), side(5.0))
    assert (wrong.lower.value, wrong.upper.value) == (2.0, 5.0)
    assert wrong.delta == pytest.approx(0.01)


def test_what_stands_beside_a_bracket_is_replaced_and_the_bracket_is_not():
    before = Answer(side(0.0, Grounds.STATISTICAL, 0.1), side(5.0), value=1.0, stats={"width": 3})
    after = before.but(result=Result.TIME_LIMIT, plan="a plan")
    same = before & Answer(result=Result.TIME_LIMIT, plan="a plan")
    assert after == same
    assert (before.result, before.plan) == (Result.RUNNING, None)
    with pytest.raises(ValueError, match="lower"):
        before.but(lower=side(4.0))
