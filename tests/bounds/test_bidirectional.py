"""Bidirectional annealing: weights that are unbiased both ways, brackets that cover, open sides, refusals."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calipers as cal
from calipers.bounds import annealing_reference as reference
from calipers.bounds.annealing_budget import best_budget, likely_loss, likely_weights
from calipers.core.answer import Grounds, Result
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.sampling.cluster_annealing import anneal, even_schedule
from calipers.sampling.ferromagnet import ferromagnet
from calipers.sampling.perfect import Coupler, Unfinished

PATCH = cal.Ising.square((3, 4), coupling=np.linspace(0.2, 1.0, 24), field=0.05, beta=0.5)
BOTH_WAYS = cal.Ising.square((3, 3), coupling=0.5, field="gauss:0.5", beta=0.9, seed=2)
SMALL = cal.BidirectionalAnnealing(chains=30, steps=12, width=1)


def references(model):
    magnet = ferromagnet(model)
    found = [reference.blocks(magnet, width) for width in (1, 2)]
    return [*found, reference.ground(magnet)] if magnet.aligned else found


@pytest.mark.parametrize("model", [PATCH, BOTH_WAYS], ids=["aligned", "fields both ways"])
def test_weights_are_unbiased_both_ways(model):
    truth, rng, chains = log_z(model, cal.Elimination()).value, np.random.default_rng(4), 3000
    for way in references(model):
        coupler = Coupler(way.magnet)
        base = way.magnet.log_scale + way.log_zeta
        schedule = way.schedule(80 if way.cold else 8)  # in few steps from ∞ the mean falls short, as it may
        up = np.exp(anneal(way.magnet, schedule, way.start(chains, coupler, rng), rng).logs + base - truth)
        drawn = np.array([coupler.draw(1.0, rng) for _ in range(chains)])
        down = np.exp(anneal(way.magnet, schedule[::-1].copy(), drawn, rng).logs - base + truth)
        for weights in (up, down):
            assert weights.mean() == pytest.approx(1.0, abs=4.5 * weights.std() / math.sqrt(chains) + 0.01)


def test_from_the_ground_states_the_mean_is_never_too_large():
    """In one step from λ = ∞ only ground states count: their share of Z, which is no more than 1."""
    magnet, rng = ferromagnet(PATCH), np.random.default_rng(0)
    way = reference.ground(magnet)
    up = anneal(magnet, np.array([math.inf, 1.0]), way.start(10, Coupler(magnet), rng), rng).logs
    assert (up == 0.0).all()  # ζ(∞)/ζ(∞)
    truth = log_z(PATCH, cal.Elimination()).value
    assert magnet.log_scale + way.log_zeta < truth
    drawn = np.array([Coupler(magnet).draw(1.0, rng) for _ in range(3000)])
    down = np.exp(anneal(magnet, np.array([1.0, math.inf]), drawn, rng).logs)
    share = math.exp(magnet.log_scale + way.log_zeta - truth)
    assert abs(down.mean() - share) < 4.5 * math.sqrt(share / 3000)


def test_schedules_keep_their_ends_and_spread_the_variance():
    way = reference.ground(ferromagnet(cal.Ising.square((6, 6), beta=0.44)))
    rng, coupler = np.random.default_rng(0), Coupler(way.magnet)
    first = way.schedule(60)
    found = anneal(way.magnet, first, way.start(30, coupler, rng), rng, record=True)
    schedule = even_schedule(first, found.energies, 100)
    assert (schedule[0], schedule[-1], len(schedule)) == (math.inf, 1.0, 101)
    assert (np.diff(schedule[1:]) < 0.0).all()


def test_brackets_cover():
    truth = log_z(PATCH, cal.Elimination()).value
    answers = [log_z(PATCH, SMALL, key=jax.random.key(s), delta=0.2, gap=0.0, time_limit=1e6) for s in range(40)]
    misses = sum(not a.lower.value <= truth <= a.upper.value for a in answers)
    assert misses <= 0.2 * 40 + 3.0 * math.sqrt(40 * 0.2 * 0.8)
    assert {a.grounds for a in answers} == {(Grounds.STATISTICAL, Grounds.STATISTICAL)}
    assert answers[0].delta == pytest.approx(0.2)
    assert answers[0].stats["chains_up"] == answers[0].stats["chains_down"] == 30
    assert np.median([a.gap for a in answers]) < 1.5


def test_batches_decide_nothing(monkeypatch):
    from calipers.bounds import bidirectional

    whole = log_z(PATCH, SMALL, key=jax.random.key(5), delta=0.1, gap=0.0, time_limit=1e6)
    monkeypatch.setattr(bidirectional, "_BATCH", 1e-9)
    single = log_z(PATCH, SMALL, key=jax.random.key(5), delta=0.1, gap=0.0, time_limit=1e6)
    assert whole.lower.value <= single.lower.value + 1e-12  # more looks at the same chains: never a wider bracket
    assert single.upper.value <= whole.upper.value + 1e-12
    assert whole.value == pytest.approx(single.value, abs=1e-12)


def test_one_block_is_exact():
    narrow = cal.Ising.square((4, 4), beta=0.4)
    answer = log_z(narrow, cal.BidirectionalAnnealing(), key=jax.random.key(0), delta=0.1)
    assert answer.exact
    assert answer.value == pytest.approx(cal.zoo.torus_log_z(4, 0.4))


def test_samples_that_do_not_come_leave_the_upper_side_open(monkeypatch):
    draw, count = Coupler.draw, 0

    def late(self, scale, rng):
        nonlocal count
        count += scale == 1.0
        if count > 60:
            raise Unfinished(1000, 7)
        return draw(self, scale, rng)

    monkeypatch.setattr(Coupler, "draw", late)
    monkeypatch.setattr("calipers.bounds.bidirectional._BATCH", 0.001)
    answer = log_z(PATCH, cal.BidirectionalAnnealing(chains=500, steps=5, width=1), key=jax.random.key(0), delta=0.1)
    assert "1000 sweeps" in answer.stats["perfect_sampling"]
    assert answer.stats["chains_down"] < 60
    assert answer.lower.value <= log_z(PATCH, cal.Elimination()).value <= answer.upper.value
    cold = cal.Ising.square((12, 12), beta=1.0)
    never = cal.BidirectionalAnnealing(width=1, coupling="spins")
    monkeypatch.setattr(Coupler, "draw", draw)
    stuck = log_z(cold, never, key=jax.random.key(0), delta=0.1, time_limit=1.0)
    assert (stuck.result, stuck.gap) == (Result.TIME_LIMIT, math.inf)


@settings(max_examples=20)
@given(st.floats(0.01, 2.0), st.integers(5, 500))
def test_more_chains_lose_less(variance, chains):
    assert likely_weights(variance).mean() == pytest.approx(1.0)
    assert 0.0 < likely_loss(variance, 2 * chains, 0.01) < likely_loss(variance, chains, 0.01)


def test_budgets_meet_the_gap_or_use_the_time():
    wide = best_budget(100.0, 0.005, 1.0, 1e-5, (0.0, 1e-3), 0.0)
    cheap = best_budget(100.0, 0.005, 1.0, 1e-5, (0.0, 1e-3), 2.0)
    assert wide.loss < cheap.loss <= 2.0
    assert wide.up * wide.steps * 1e-5 <= 1.0
    assert cheap.up * cheap.steps < wide.up * wide.steps


def test_what_is_refused():
    with pytest.raises(Refusal, match="grant it"):
        log_z(PATCH, SMALL, key=jax.random.key(0))
    with pytest.raises(Refusal, match="give it a key"):
        log_z(PATCH, SMALL, delta=0.1)
    with pytest.raises(Refusal, match="frustrated"):
        log_z(cal.Ising.square((4, 4), coupling="pm1", seed=1), SMALL, key=jax.random.key(0), delta=0.1)
    for bad in ({"steps": 1}, {"chains": 0}, {"width": 0}, {"coupling": "sites"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            cal.BidirectionalAnnealing(**bad)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1, 0.4])
def test_deadlines_are_heard_wherever_they_fall(seconds):
    model = cal.Ising.square((20, 20), beta=0.44)
    answer = log_z(model, cal.BidirectionalAnnealing(), key=jax.random.key(0), delta=0.1, gap=0.0, time_limit=seconds)
    assert answer.result is Result.TIME_LIMIT
    assert answer.lower.value < 372.122 < answer.upper.value
