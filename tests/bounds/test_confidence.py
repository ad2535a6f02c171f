"""Confidence bounds: coverage at fixed seeds, agreement with closed forms, anytime reading, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from calipers.bounds.confidence import (
    MENU,
    BettingSequence,
    empirical_bernstein,
    geometric_share,
    log_mean,
    markov_lower,
    order_statistic_lower,
)

LAWS = {
    "rare": (lambda rng, n: (rng.random(n) < 0.02).astype(float), 0.02),
    "skew": (lambda rng, n: rng.beta(0.3, 6.0, n), 0.3 / 6.3),
    "narrow": (lambda rng, n: 0.4 + 0.02 * rng.random(n), 0.41),
    "tiny": (lambda rng, n: np.where(rng.random(n) < 0.5, 1e-6, 1e-8), 0.505e-6),
}


def betting(values, delta, pilot=64):
    sequence = BettingSequence(values[:pilot], len(values) - pilot, 0.5 * delta, 0.5 * delta)
    sequence.update(values[pilot:])
    return sequence.bounds()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("interval", [betting, empirical_bernstein])
def test_coverage(law, interval):
    """Out of 400 intervals at δ = 0.1, 40 misses are expected at most; 58 is three standard deviations more."""
    draw, mean = LAWS[law]
    rng = np.random.default_rng(7)
    found = [interval(draw(rng, 600), 0.1) for _ in range(400)]
    assert sum(not low <= mean <= high for low, high in found) <= 58
    assert all(0.0 <= low <= high <= 1.0 for low, high in found)


def test_coverage_of_a_sequence_that_is_read_after_every_few_values():
    """Reading often costs no δ: the intersection of 60 readings fails as rarely as one."""
    rng, misses = np.random.default_rng(3), 0
    for _ in range(200):
        values = rng.beta(0.3, 6.0, 664)
        sequence = BettingSequence(values[:64], 600, 0.05, 0.05)
        for batch in np.split(values[64:], 60):
            sequence.update(batch)
            low, high = sequence.bounds()
        misses += not low <= 0.3 / 6.3 <= high
    assert misses <= 200 * 0.1 + 3 * math.sqrt(200 * 0.1 * 0.9)


def test_intervals_shrink_as_the_law_says_and_only_narrow():
    rng = np.random.default_rng(1)
    values, mean = rng.beta(0.5, 5.0, 40_000), 0.5 / 5.5
    spread = (values.var() / mean**2) / len(values)
    sequence, last = BettingSequence(values[:500], 39_500, 0.005, 0.005), (0.0, 1.0)
    for batch in np.split(values[500:], 10):
        sequence.update(batch)
        low, high = sequence.bounds()
        assert last[0] <= low <= high <= last[1]
        last = low, high
    assert math.log(mean / low) < 1.5 * math.sqrt(13.0 * spread)
    assert math.log(high / mean) < 1.5 * math.sqrt(13.0 * spread)


def test_a_sequence_in_batches_is_the_sequence_at_once():
    values = np.random.default_rng(0).random(800)
    whole, parts = (BettingSequence(values[:100], 700, 0.05, 0.05) for _ in range(2))
    whole.update(values[100:])
    for batch in np.split(values[100:], [13, 250, 251, 600]):
        parts.update(batch)
    assert parts.bounds() == pytest.approx(whole.bounds(), rel=1e-12)


def test_values_without_information():
    zeros = BettingSequence(np.zeros(50), 1000, 0.05, 0.05)
    assert zeros.bounds() == (0.0, 1.0)
    zeros.update(np.zeros(1000))
    low, high = zeros.bounds()
    assert low == 0.0
    assert math.log(20.0) / 1000 < high < 4.0 * math.log(20.0) / 1000
    ones = BettingSequence(np.ones(50), 1000, 0.05, 0.05)
    ones.update(np.ones(1000))
    assert ones.bounds()[0] > 0.98
    assert ones.bounds()[1] == 1.0


def test_one_sided_sequences_take_values_above_one():
    rng = np.random.default_rng(5)
    misses = 0
    for _ in range(100):
        values = np.exp(rng.normal(-0.5, 1.0, 400))  # mean 1
        sequence = BettingSequence(values[:50], 350, 0.1, 0.0)
        sequence.update(values[50:])
        low, high = sequence.bounds()
        assert high == math.inf
        misses += low > 1.0
    assert misses <= 10 + 3 * 3


@pytest.mark.parametrize("sigma", [0.3, 1.5, 4.0])
def test_order_statistics_and_markov_cover(sigma):
    rng = np.random.default_rng(11)
    above = {"order": 0, "markov": 0}
    for _ in range(300):
        logs = rng.normal(-0.5 * sigma**2, sigma, 512)  # log-normal with mean 1
        above["order"] += order_statistic_lower(logs, 0.1)[0] > 0.0
        above["markov"] += markov_lower(log_mean(logs), 0.1) > 0.0
    assert max(above.values()) <= 30 + 3 * math.sqrt(300 * 0.09)


def test_order_statistics_spend_the_binomial_tail():
    logs = np.random.default_rng(0).normal(size=1024)
    for groups, rank in MENU:
        bound, chosen = order_statistic_lower(logs, 0.05, ((groups, rank),))
        means = np.sort([log_mean(part) for part in np.array_split(logs, groups)])
        chance = math.exp(bound - means[rank - 1])
        assert chosen == (groups, rank)
        assert binom.sf(groups - rank, groups, chance) == pytest.approx(0.05, rel=1e-5)
    assert order_statistic_lower(logs[:1], 0.05, ((1, 1),))[0] == pytest.approx(markov_lower(logs[0], 0.05))


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=40), st.floats(1e-4, 0.5))
def test_intervals_hold_the_mean_of_what_they_saw(values, delta):
    y = np.array(values)
    low, high = empirical_bernstein(y, delta)
    assert low <= y.mean() + 1e-12
    assert high >= y.mean() - 1e-12
    sequence = BettingSequence(y, len(y), 0.5 * delta, 0.5 * delta)
    sequence.update(y)
    low, high = sequence.bounds()
    assert low <= y.mean() + 1e-9
    assert high >= y.mean() - 1e-9


def test_delta_is_a_probability_and_shares_add_up():
    assert math.fsum(geometric_share(0.01, k) for k in range(60)) == pytest.approx(0.01)
    for bad in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="delta"):
            geometric_share(bad, 0)
    with pytest.raises(ValueError, match="two values"):
        empirical_bernstein(np.array([0.5]), 0.1)
    with pytest.raises(ValueError, match="0, 1"):
        empirical_bernstein(np.array([0.5, 1.5]), 0.1)
