"""Bounded weights: at most 1, unbiased, reproducible; both sides at δ; zeros; δ spent once; refusals."""

import itertools
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import factor_graphs

import calipers as cal
from calipers.bounds.frontier import Frontier
from calipers.bounds.proposal_tables import Proposal
from calipers.bounds.strata import Strata
from calipers.bounds.sweeps import build_tree, improve
from calipers.core.answer import Grounds, Result
from calipers.core.iterate import iterate, log_z
from calipers.core.method import Limits, Refusal
from calipers.exact.enumeration import enumerate_all
from calipers.models.reduction import as_reduced

KEY = jax.random.key(0)
GLASS = cal.Ising.square((5, 5), coupling="pm1", field="gauss:0.3", beta=1.0, seed=2)
METHOD = cal.ImportanceSampling(ibound=2, samples=20_000, sweeps=5, orders=2)


def split_run(model, ibound=1, sweeps=3):
    """A mini-bucket run with the bound that it proves."""
    reduced = as_reduced(model)
    tree = build_tree(reduced, np.arange(reduced.model.n), ibound)
    run = tree.run(list(reduced.model.log_tables()))
    list(improve(run, sweeps))
    return reduced, run, run.forward()


@settings(max_examples=60)
@given(factor_graphs())
def test_weights_are_at_most_one_and_unbiased(graph):
    """Mean weight ± 5 standard errors (and the share of what 5 in n may have missed) holds Z/U."""
    reduced, run, value = split_run(graph)
    truth = enumerate_all(graph)[0]
    if truth == -math.inf or value == -math.inf:
        return
    logs, _ = Proposal(run, value).draw(3, 0, 4000)
    assert (logs <= 0.0).all()
    weights, mean = np.exp(logs), math.exp(truth - reduced.log_constant - value)
    assert abs(weights.mean() - mean) < 5.0 * weights.std() / math.sqrt(4000) + 5.0 * 5.0 / 4000 * mean**0.5 + 1e-6


@settings(max_examples=40)
@given(factor_graphs(most=5))
def test_weight_times_proposal_is_the_model(graph):
    """p(x) = U q(x) weight(x), with q counted from many draws of every variable: exactly the identity of theorem S1."""
    reduced, run, value = split_run(graph)
    if value == -math.inf or not reduced.model.n or run.tree.sizes.prod() > 200:
        return
    proposal = Proposal(run, value, every=True)
    logs, x = proposal.draw(1, 0, 20_000)
    cells = np.ravel_multi_index(x, reduced.model.sizes)
    for cell, states in enumerate(itertools.product(*map(range, reduced.model.sizes))):
        mine = logs[cells == cell]
        if len(mine) < 400:
            continue
        assert np.ptp(mine) < 1e-5 if np.isfinite(mine).all() else not np.isfinite(mine).any()
        weight = reduced.model.log_weight(np.array(states))
        if weight == -math.inf:
            assert not np.isfinite(mine).any()
            continue
        share = math.exp(weight - value - mine[0])
        assert len(mine) / 20_000 == pytest.approx(share, abs=6.0 * math.sqrt(share / 20_000))


def test_samples_are_numbered():
    _, run, value = split_run(GLASS, 2)
    proposal = Proposal(run, value)
    whole, x = proposal.draw(5, 0, 3000)
    again, y = proposal.draw(5, 1234, 700)
    assert np.array_equal(whole[1234:1934], again)
    assert np.array_equal(x[:, 1234:1934], y)
    assert not np.array_equal(whole[:700], proposal.draw(6, 0, 700)[0])
    assert abs(np.corrcoef(whole[:-1], whole[1:])[0, 1]) < 0.08


def test_whole_buckets_give_exact_samples():
    _, run, value = split_run(GLASS, 30)
    logs, x = Proposal(run, value, every=True).draw(2, 0, 20_000)
    assert not logs.any()
    truth = log_z(GLASS, cal.Elimination(), beliefs=True).belief.marginals
    np.testing.assert_allclose(x.mean(axis=1), [m[1] for m in truth], atol=6 * 0.5 / math.sqrt(20_000))


@pytest.mark.parametrize("expansions", [1, 40, 400])
def test_strata_over_a_frontier_are_unbiased(expansions):
    reduced, run, value = split_run(GLASS, 1)
    proposal = Proposal(run, value)
    frontier = Frontier(run, proposal.needed, value)
    frontier.grow(expansions)
    strata = Strata(proposal, frontier)
    weights = strata.weights(9, 0, 20_000)
    assert weights.max() <= 1.0
    assert 0.0 < strata.open < 1.0
    truth = math.exp(log_z(GLASS, cal.Elimination()).value - reduced.log_constant - value)
    error = strata.open * weights.std() / math.sqrt(len(weights))
    assert strata.total(weights.mean()) == pytest.approx(truth, abs=5.0 * error)
    low, high = strata.sides(0.0, 1.0)
    assert low <= math.log(truth) + value <= high


def test_sides_cover_and_keep_the_deterministic_bracket():
    truth, misses = log_z(GLASS, cal.Elimination()).value, 0
    for seed in range(30):
        answer = log_z(GLASS, METHOD, key=jax.random.key(seed), delta=0.1, gap=0.0)
        misses += not answer.lower.value <= truth <= answer.upper.value
        assert answer.delta == pytest.approx(0.1)
        assert answer.grounds == (Grounds.STATISTICAL, Grounds.STATISTICAL)
        below, above = answer.deterministic
        assert below.value <= truth <= above.value
        assert above.grounds is Grounds.COMPUTED
        assert answer.lower.witness is None
        assert answer.upper.witness is None
        assert answer.value == pytest.approx(truth, abs=5 * answer.stats["standard_error"])
    assert misses <= 3 + 3 * math.sqrt(30 * 0.1 * 0.9)


def test_delta_is_spent_once_however_often_the_sequence_is_read():
    answers = list(iterate(GLASS, METHOD, key=KEY, limits=Limits(delta=0.02)))
    assert len(answers) > 3
    assert all(a.delta in (0.0, pytest.approx(0.02)) for a in answers)
    assert answers[-1].delta == pytest.approx(0.02)
    two = answers[-1] & log_z(GLASS, METHOD, key=KEY, delta=0.02, gap=0.0)
    assert two.delta == pytest.approx(0.04)  # another run is another look


def test_the_same_key_gives_the_same_answer():
    a, b = (log_z(GLASS, METHOD, key=KEY, delta=0.02, gap=0.0) for _ in range(2))
    assert (a.lower.value, a.upper.value, a.value) == (b.lower.value, b.upper.value, b.value)
    c = log_z(GLASS, METHOD, key=jax.random.key(1), delta=0.02, gap=0.0)
    assert a.lower.value != c.lower.value


def test_the_gap_is_met_and_searching_beforehand_keeps_the_sides_true(monkeypatch):
    big = cal.Ising.square((8, 8), coupling="gauss:1", field="gauss:0.5", beta=0.8, seed=4)
    truth = log_z(big, cal.Elimination()).value
    monkeypatch.setattr("calipers.bounds.proposal._CHEAP", 0.0)  # search even where sampling takes no time
    for search in (True, False):
        answer = log_z(big, cal.ImportanceSampling(ibound=4, sweeps=8, search=search), key=KEY, delta=0.01, gap=0.05)
        assert answer.result is Result.GAP_MET
        assert answer.lower.value <= truth <= answer.upper.value


def test_dead_samples_bound_from_above_only():
    """An odd cycle of "differ" constraints over two colours, hidden from mini-buckets that are too small to see it."""
    differ = np.array([[0.0, 1.0], [1.0, 0.0]])
    scopes = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]
    cycle = cal.FactorGraph.from_tables((2,) * 5, [(s, differ) for s in scopes])
    answer = log_z(cycle, cal.ImportanceSampling(ibound=1, samples=2000, orders=1), key=KEY, delta=0.01)
    assert answer.lower.value == -math.inf
    assert answer.upper.value < math.inf
    assert answer.value in (None, -math.inf)


def test_refusals():
    with pytest.raises(Refusal, match="delta"):
        log_z(GLASS, METHOD, key=KEY)
    with pytest.raises(Refusal, match="key"):
        log_z(GLASS, METHOD, delta=0.01)
    with pytest.raises(ValueError, match="samples"):
        cal.ImportanceSampling(samples=0)
    with pytest.raises(ValueError, match="ibound"):
        cal.ImportanceSampling(ibound=-1)


def test_memory_is_asked_for_beforehand():
    with pytest.raises(Refusal, match="GB"):
        log_z(GLASS, METHOD, key=KEY, delta=0.01, memory=100.0)
    wide = log_z(GLASS, cal.ImportanceSampling(ibound=20, samples=2000), key=KEY, delta=0.01, gap=0.0, memory=60e3)
    assert wide.stats["ibound"] < 20  # what fitted is sampled
    assert wide.delta == pytest.approx(0.01)
