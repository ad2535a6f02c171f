"""Annealed importance sampling: unbiased both ways, covering, refusing; its upper side from exact samples."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import factor_graphs

import calipers as cal
from calipers import zoo
from calipers.core.answer import Grounds
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.exact.enumeration import enumerate_all
from calipers.models.reduction import as_reduced
from calipers.sampling.annealed import anneal, annealing_path, even_schedule

KEY = jax.random.key(0)
GLASS = cal.Ising.square((4, 4), coupling="gauss:1", field="gauss:0.3", beta=0.8, seed=2)
POTTS = zoo.random_graph(4, n=6, states=3, arity=3)


@pytest.mark.parametrize("model", [GLASS, POTTS, GLASS.factor_graph().condition({0: 1, 7: 0})])
@pytest.mark.parametrize("steps", [3, 30])
def test_weights_are_unbiased(model, steps):
    truth, path, rng = (
        enumerate_all(model.factor_graph())[0],
        annealing_path(as_reduced(model)),
        np.random.default_rng(1),
    )
    logs, _ = anneal(path, even_schedule(path, rng, steps), rng, 20_000)
    weights = np.exp(logs + path.log_base - truth)
    assert weights.mean() == pytest.approx(1.0, abs=5.0 * weights.std() / math.sqrt(len(weights)))


@settings(max_examples=30)
@given(factor_graphs(zeros=False))
def test_the_path_ends_in_the_model(graph):
    """One step from λ = 0 to 1 is importance sampling from the base: the weight at x is p(x)/base(x), for every x."""
    reduced = as_reduced(graph)
    if not reduced.model.n:
        return
    path, rng = annealing_path(reduced), np.random.default_rng(0)
    logs, _ = anneal(path, np.array([0.0, 1.0]), rng, 3000)
    weights = np.exp(logs + path.log_base - enumerate_all(graph)[0])
    assert abs(weights.mean() - 1.0) < 6.0 * weights.std() / math.sqrt(3000) + 0.05


def test_spins_and_tables_are_the_same_path():
    path = annealing_path(as_reduced(GLASS))
    assert path.spins is not None
    assert annealing_path(as_reduced(POTTS)).tables is not None


def test_schedules_are_even_in_variance():
    path, rng = annealing_path(as_reduced(GLASS)), np.random.default_rng(0)
    schedule = even_schedule(path, rng, 40)
    assert (schedule[0], schedule[-1]) == (0.0, 1.0)
    assert (np.diff(schedule) > 0.0).all()


def test_the_lower_side_covers():
    truth, misses = enumerate_all(GLASS.factor_graph())[0], 0
    for seed in range(30):
        method = cal.AnnealedImportance(chains=128, steps=20)
        answer = log_z(GLASS, method, key=jax.random.key(seed), delta=0.1, gap=0.0)
        misses += answer.lower.value > truth
        assert answer.lower.grounds is Grounds.STATISTICAL
        assert answer.upper.value == math.inf
        assert answer.delta == pytest.approx(0.1)
        assert answer.deterministic[0].value == -math.inf
        assert abs(answer.value - truth) < 5 * answer.stats["standard_error"] + 0.01
    assert misses <= 3 + 3 * math.sqrt(30 * 0.09)


def test_the_upper_side_from_exact_samples_covers():
    truth, misses = enumerate_all(GLASS.factor_graph())[0], 0
    draws = cal.sample(GLASS, 20 * 160, seed=3).states.reshape(20, 160, -1)
    for seed, states in enumerate(draws):
        side = cal.annealed_upper(GLASS, states, delta=0.1, key=jax.random.key(seed), steps=20)
        misses += side.value < truth
        assert side.value < truth + 1.0
        assert side.grounds is Grounds.STATISTICAL
    assert misses <= 2 + 3 * math.sqrt(20 * 0.09)


def test_refusals():
    zeros = cal.FactorGraph.from_tables((2, 2), [((0, 1), [[0.0, 1.0], [1.0, 2.0]])])
    with pytest.raises(Refusal, match="zeros"):
        log_z(zeros, cal.AnnealedImportance(), key=KEY, delta=0.01)
    with pytest.raises(Refusal, match="delta"):
        log_z(GLASS, cal.AnnealedImportance(), key=KEY)
    with pytest.raises(Refusal, match="key"):
        log_z(GLASS, cal.AnnealedImportance(), delta=0.01)
    with pytest.raises(ValueError, match="too few"):
        cal.annealed_upper(GLASS, np.zeros((3, 16), int), delta=0.1, key=KEY)
    with pytest.raises(ValueError, match="steps"):
        cal.AnnealedImportance(steps=0)
