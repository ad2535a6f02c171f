"""The tootsie-pop algorithm: counts that are Poisson, intervals that cover, time-outs, refusals."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calipers as cal
from calipers.bounds.confidence import PoissonSequence
from calipers.bounds.tootsie_pop import run
from calipers.core.answer import Grounds, Result
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.sampling.ferromagnet import ferromagnet
from calipers.sampling.perfect import Coupler

PATCH = cal.Ising.square((3, 3), coupling=np.linspace(0.2, 1.0, 12), field=0.1, beta=0.6, periodic=False)


@pytest.mark.parametrize("cold", [True, False], ids=["to the ground states", "from independent spins"])
def test_counts_are_poisson(cold):
    magnet, rng, runs = ferromagnet(PATCH), np.random.default_rng(3), 1500
    coupler = Coupler(magnet)
    counts = np.array([run(coupler, cold, rng) for _ in range(runs)])
    zeta = log_z(PATCH, cal.Elimination()).value - magnet.log_scale
    mean = zeta - magnet.free * math.log(2.0) if cold else magnet.n * math.log(2.0) - zeta
    assert abs(counts.mean() - mean) < 4.0 * math.sqrt(mean / runs)
    assert abs(counts.var() / mean - 1.0) < 4.0 * math.sqrt((2.0 + 1.0 / mean) / runs)


@settings(max_examples=25)
@given(st.floats(0.05, 40.0), st.integers(0, 2**32))
def test_poisson_sequences_narrow_and_hold(mean, seed):
    rng, sequence = np.random.default_rng(seed), PoissonSequence(mean * 1.2 + 0.1, 1000, 20, 1e-9)
    last = (0.0, math.inf)
    for _ in range(20):
        counts = rng.poisson(mean, 50)
        sequence.update(50, int(counts.sum()))
        low, high = sequence.bounds()
        assert last[0] <= low <= mean <= high <= last[1]
        last = (low, high)
    assert last[1] - last[0] < 20.0 * math.sqrt(mean / 1000) + 0.1


def test_poisson_sequences_fail_as_seldom_as_they_say():
    """At every count of 300 runs: at most δ = 0.2 of the sequences miss, ever."""
    rng, misses = np.random.default_rng(0), 0
    for _ in range(300):
        sequence, missed = PoissonSequence(3.5, 64, 4, 0.2), False
        for count in rng.poisson(3.0, 64):
            sequence.update(1, int(count))
            low, high = sequence.bounds()
            missed = missed or not low <= 3.0 <= high
        misses += missed
    assert misses <= 0.2 * 300 + 3.0 * math.sqrt(300 * 0.2 * 0.8)


def test_no_counts_bound_from_above_only():
    sequence = PoissonSequence(0.0, 100, 4, 0.05)
    assert sequence.bounds() == (0.0, math.inf)
    sequence.update(100, 0)
    low, high = sequence.bounds()
    assert low == 0.0
    assert 0.02 < high < 0.1


def test_intervals_cover():
    truth = log_z(PATCH, cal.Elimination()).value
    answers = [
        log_z(PATCH, cal.TootsiePop(runs=32), key=jax.random.key(s), delta=0.2, gap=0.0, time_limit=1e6)
        for s in range(60)
    ]
    misses = sum(not a.lower.value <= truth <= a.upper.value for a in answers)
    assert misses <= 0.2 * 60 + 3.0 * math.sqrt(60 * 0.2 * 0.8)
    assert {a.grounds for a in answers} == {(Grounds.STATISTICAL, Grounds.STATISTICAL)}
    assert answers[0].delta == pytest.approx(0.2)  # one look, both sides
    assert np.median([a.gap for a in answers]) < 2.0


def test_flips_of_spins_change_nothing():
    flips = np.random.default_rng(0).choice([-1.0, 1.0], 9)
    turned = cal.Ising.from_arrays(
        PATCH.edges, PATCH.couplings * flips[PATCH.edges].prod(axis=1), PATCH.fields * flips, PATCH.beta
    )
    a, b = (
        log_z(m, cal.TootsiePop(runs=20), key=jax.random.key(0), delta=0.1, gap=0.0, time_limit=1e6)
        for m in (PATCH, turned)
    )
    assert (a.lower.value, a.upper.value) == pytest.approx((b.lower.value, b.upper.value))


def test_a_time_out_of_the_sampler_leaves_what_there_was():
    cold = cal.Ising.square((12, 12), beta=1.0)
    answer = log_z(cold, cal.TootsiePop(coupling="spins"), key=jax.random.key(0), delta=0.1, time_limit=0.5)
    assert answer.result is Result.TIME_LIMIT
    assert answer.gap == math.inf
    free = cal.Ising.from_arrays(np.zeros((0, 2), np.int64), fields=np.zeros(5), offset=2.0)
    exact = log_z(free, cal.TootsiePop(), key=jax.random.key(0), delta=0.1)
    assert exact.exact
    assert exact.value == pytest.approx(5.0 * math.log(2.0) - 2.0)


def test_what_is_refused():
    with pytest.raises(Refusal, match="grant it"):
        log_z(PATCH, cal.TootsiePop(), key=jax.random.key(0))
    with pytest.raises(Refusal, match="give it a key"):
        log_z(PATCH, cal.TootsiePop(), delta=0.1)
    with pytest.raises(Refusal, match="frustrated"):
        log_z(cal.Ising.square((4, 4), coupling="pm1", seed=1), cal.TootsiePop(), key=jax.random.key(0), delta=0.1)
    with pytest.raises(ValueError, match="runs is 0"):
        cal.TootsiePop(runs=0)
