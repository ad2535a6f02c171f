"""Estimates of log Z by chains: against exact values within their error bars; what they say, and what they refuse."""

import math

import jax
import numpy as np
import pytest

import calipers as cal
from calipers.core.answer import Grounds, Result
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.sampling.annealed import thermodynamic_length
from calipers.sampling.kernel_choice import suitable_kernel
from calipers.sampling.multistate import multistate
from calipers.sampling.sequential import lognormal_mean, population, systematic
from calipers.sampling.tempered_path import tempered_path

FERRO = cal.Ising.square((6, 6), beta=0.44, field=0.02)
GLASS = cal.Ising.square((5, 5), coupling="pm1", field="gauss:0.2", beta=0.9, seed=4)
POTTS = cal.FactorGraph.from_tables((3, 3, 2), [((0, 1), 1 + 2 * np.eye(3)), ((1, 2), [[1, 2], [3, 1], [1, 1]])])
ZEROS = cal.FactorGraph.from_tables((2, 2), [((0, 1), [[0.0, 1.0], [1.0, 2.0]])])
METHODS = [
    cal.PopulationAnnealing(population=32, populations=6),
    cal.ThermodynamicIntegration(sweeps=96, points=6),
    cal.MultistateReweighting(sweeps=96, points=6),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("model", [FERRO, GLASS, POTTS], ids=["ferromagnet", "glass", "tables"])
def test_error_bars_hold(method, model):
    """Eight seeds: their z have a mean near 0 and a spread near 1."""
    truth = log_z(model, cal.Elimination()).value
    z = []
    for seed in range(8):
        answer = log_z(model, method, key=jax.random.key(seed), gap=0.0)
        assert answer.grounds == (Grounds.NONE, Grounds.NONE)
        z.append((answer.value - truth) / answer.stats["standard_error"])
    assert abs(np.mean(z)) < 4.5 / math.sqrt(8)
    assert 0.3 < np.sqrt(np.mean(np.square(z))) < 2.0


def test_they_can_be_repeated_and_tempered():
    hot = FERRO.tempered(0.5)
    for method in METHODS:
        a, b = (log_z(hot, method, key=jax.random.key(7)) for _ in range(2))
        assert a.value == b.value
        truth = log_z(hot, cal.Elimination()).value
        assert abs(a.value - truth) < 5 * a.stats["standard_error"]


def test_a_ladder_of_replicas():
    kernel = cal.ParallelTempering(replicas=6, hottest=0.2, adapt=100)
    truth = log_z(GLASS, cal.Elimination()).value
    for which in (cal.ThermodynamicIntegration, cal.MultistateReweighting):
        answer = log_z(GLASS, which(kernel=kernel, sweeps=256), key=jax.random.key(1))
        assert abs(answer.value - truth) < 5 * answer.stats["standard_error"]
        assert answer.stats["points"] == 7
        assert "ParallelTempering" in answer.stats["kernel"]
    with pytest.raises(Refusal, match="ladder"):
        log_z(GLASS, cal.PopulationAnnealing(kernel=kernel), key=jax.random.key(1))


def test_refusals():
    for method in METHODS:
        with pytest.raises(Refusal, match="zeros"):
            log_z(ZEROS, method, key=jax.random.key(0))
        with pytest.raises(Refusal, match="key"):
            log_z(GLASS, method)
    for wrong in ({"sweeps": 3}, {"points": 1}, {"chains": 0}):
        for which in (cal.ThermodynamicIntegration, cal.MultistateReweighting):
            with pytest.raises(ValueError, match="give"):
                which(**wrong)
    with pytest.raises(ValueError, match="populations"):
        cal.PopulationAnnealing(populations=0)


def test_short_chains_are_said_to_be_unreliable():
    answer = log_z(
        cal.Ising.square(16, beta=0.44), cal.ThermodynamicIntegration(sweeps=32, points=8), key=jax.random.key(0)
    )
    assert answer.result is Result.UNCONVERGED
    assert not answer.stats["reliable"]


def test_riemann_sums_bracket_when_averages_are_good():
    truth = log_z(FERRO, cal.Elimination()).value
    stats = log_z(FERRO, cal.ThermodynamicIntegration(points=6, sweeps=2000), key=jax.random.key(2), gap=0.0).stats
    assert stats["left"] + 5 * stats["left_error"] < truth < stats["right"] - 5 * stats["right_error"]
    assert stats["quadrature_error"] < stats["right"] - stats["left"]


def test_suitable_kernels():
    assert suitable_kernel(FERRO) == cal.SwendsenWang()
    assert suitable_kernel(cal.Ising.square((4, 4), coupling=-1.0)) == cal.SwendsenWang()
    assert suitable_kernel(GLASS) == cal.HeatBath()
    assert suitable_kernel(cal.Ising.from_arrays(np.zeros((0, 2), int), n=3)) == cal.HeatBath()
    assert suitable_kernel(POTTS) == cal.Gibbs()


@pytest.mark.parametrize("size", [1, 4])
def test_populations_are_unbiased(size):
    model = cal.Ising.square((3, 3), coupling="pm1", beta=0.7, seed=3)
    path, random = tempered_path(model), np.random.default_rng(0)
    truth = log_z(model, cal.Enumeration()).value
    schedule = np.array([0.0, 0.3, 0.7, 1.0])
    logs = np.array([population(path, schedule, random, size).log_weight for _ in range(800)])
    weights = np.exp(logs + path.log_base - truth)
    assert abs(weights.mean() - 1.0) < 4.5 * weights.std() / math.sqrt(len(weights))


def test_a_bound_from_populations_covers():
    truth, misses = log_z(GLASS, cal.Elimination()).value, 0
    for seed in range(6):
        method = cal.AnnealedImportance(chains=16, population=8, steps=12)
        answer = log_z(GLASS, method, key=jax.random.key(seed), delta=0.1, gap=0.0)
        misses += answer.lower.value > truth
        assert answer.lower.grounds is Grounds.STATISTICAL
        assert abs(answer.value - truth) < 5 * answer.stats["standard_error"]
    assert misses <= 3  # of 6 at 0.1 each


def test_systematic_resampling():
    random, weights = np.random.default_rng(1), np.array([0.5, 2.25, 0.0, 1.25])
    counts = np.array([np.bincount(systematic(weights, random), minlength=4) for _ in range(4000)])
    assert (counts.sum(1) == 4).all()
    assert counts.mean(0) == pytest.approx(weights, abs=0.04)
    assert (np.abs(counts - weights) < 1.0).all()


def test_lognormal_means():
    random, z = np.random.default_rng(0), []
    for _ in range(400):
        value, error = lognormal_mean(random.normal(-0.5, 1.0, 20))
        z.append(value / error)
    assert abs(np.mean(z)) < 0.4
    assert 0.8 < np.std(z) < 1.4
    assert math.isnan(lognormal_mean(np.zeros(1))[1])


def test_the_length_of_free_spins():
    """w of n free spins has variance n h² (1 − tanh² λh): the length is known."""
    path, h = tempered_path(cal.Ising.from_arrays(np.zeros((0, 2), int), fields=np.full(400, 0.5))), 0.5
    lam = np.linspace(0, 1, 1001)
    exact = np.trapezoid(math.sqrt(400) * h * np.sqrt(1 - np.tanh(lam * h) ** 2), lam)
    assert thermodynamic_length(path, np.random.default_rng(0), 200).length[-1] == pytest.approx(exact, rel=0.02)


def exact_runs(lambdas, count, seed):
    """w of independent draws of a two-level system, w = 0 or 1 with weights 3 and e^λ."""
    random = np.random.default_rng(seed)
    p = np.exp(lambdas) / (3.0 + np.exp(lambdas))
    return [(random.random(count) < q).astype(float) for q in p]


def test_multistate_of_a_two_level_system():
    lambdas, z = np.array([0.0, 1.0, 2.5]), []
    truth = np.log(3.0 + np.exp(lambdas)) - math.log(4.0)
    for seed in range(100):
        found = multistate(lambdas, exact_runs(lambdas, 500, seed), np.ones(3))
        assert found.log_z(2.5) == pytest.approx(-found.f[2], abs=1e-9)
        z.append([(-found.f[k] - truth[k]) / found.error(0, k) for k in (1, 2)])
    assert np.abs(np.mean(z, 0)).max() < 4 / math.sqrt(100)
    assert np.std(z, 0) == pytest.approx([1.0, 1.0], abs=0.3)
    middle = np.log(3.0 + math.e**1.7) - math.log(4.0)
    assert found.log_z(1.7) == pytest.approx(middle, abs=0.1)
    p = np.exp(found.log_counts) * found.weights(1.7)
    assert p[1] / p.sum() == pytest.approx(math.e**1.7 / (3.0 + math.e**1.7), abs=0.05)


def test_multistate_of_two_runs_is_bennetts_acceptance_ratio():
    lambdas, runs = np.array([0.0, 1.3]), exact_runs(np.array([0.0, 1.3]), 300, 9)
    f = multistate(lambdas, runs, np.ones(2)).f[1]
    forward = (1.0 / (1.0 + np.exp(-(1.3 * runs[0] + f)))).sum()  # each side's mean of the Fermi function
    backward = (1.0 / (1.0 + np.exp(1.3 * runs[1] + f))).sum()
    assert forward == pytest.approx(backward, rel=1e-8)


def test_correlated_measurements_count_less():
    lambdas = np.array([0.0, 1.0])
    runs = exact_runs(lambdas, 400, 3)
    once = multistate(lambdas, runs, np.ones(2))
    many = multistate(lambdas, [np.repeat(x, 7) for x in runs], np.full(2, 7.0))
    assert many.f == pytest.approx(once.f)
    assert many.error(0, 1) == pytest.approx(once.error(0, 1))
