"""Both sides of evidences that are known: coverage, what is refused, what an upper side needs."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

import calipers as cal
from calipers.bounds.hamiltonian_annealing import annealed_sides, exact_drawer, prepare
from calipers.bounds.mean_weight import bennett
from calipers.core.answer import Grounds
from calipers.core.iterate import log_z
from calipers.core.method import Limits, Refusal
from calipers.variational.approximation import Elliptical
from calipers.variational.target import Target

Y = np.array([0.3, -1.2, 2.0, 0.7, 1.1])
PRECISION = 1.0 + len(Y) / 0.25
COVARIANCE = 0.25 * np.eye(5) + 1.0
LOG_Z = float(-0.5 * (Y @ np.linalg.solve(COVARIANCE, Y) + np.linalg.slogdet(2.0 * np.pi * COVARIANCE)[1]))


def log_prior(w):
    return norm.logpdf(w)


def log_likelihood(w, y):
    return norm.logpdf(y, w, 0.5).sum()


def posterior_sample(key, y):
    return y.sum() / 0.25 / PRECISION + jax.random.normal(key) / jnp.sqrt(PRECISION)


MODEL = cal.Posterior(log_prior, log_likelihood, Y, example=np.zeros(()), posterior_sample=posterior_sample)
BLIND = cal.Posterior(log_prior, log_likelihood, Y, example=np.zeros(()))


def test_both_sides_of_a_conjugate_model():
    answer = log_z(MODEL, cal.HamiltonianAnnealing(), key=jax.random.key(0), delta=0.01, gap=0.02)
    assert answer.lower.value < LOG_Z + 1e-5
    assert answer.upper.value > LOG_Z - 1e-5
    assert answer.gap < 0.03
    assert answer.delta == 0.01
    assert answer.value == pytest.approx(LOG_Z, abs=1e-4)
    assert answer.grounds == (Grounds.STATISTICAL, Grounds.STATISTICAL)


def test_without_exact_draws_there_is_no_upper_side_but_an_estimate_that_is_called_one():
    answer = log_z(BLIND, cal.HamiltonianAnnealing(chains=256), key=jax.random.key(0), delta=0.01)
    assert answer.upper.value == math.inf
    assert answer.grounds[1] is Grounds.NONE
    assert answer.stats["upper_if_mixed"] == pytest.approx(LOG_Z, abs=0.01)


def test_sides_hold_from_a_bad_start():
    """A trial that is off in place and scale: wrong at most as often as δ says, over 25 runs at δ = 0.2."""
    target, wrong = Target(MODEL), 0
    for seed in range(25):
        random = np.random.default_rng(seed)
        prepared = prepare(target, Elliptical(np.array([-0.5]), np.array([1.0])), random, steps=3, leaps=1)
        limits = Limits(delta=0.2)
        stream = annealed_sides(target, prepared, random, limits, chains=256, draws=exact_drawer(MODEL, random))
        last = list(stream)[-1]
        wrong += not last.lower.value <= LOG_Z + 1e-5 or not last.upper.value >= LOG_Z - 1e-5
    assert wrong <= 10  # P[Bin(25, 0.2) > 10] < 0.01


def test_a_density_that_is_zero_somewhere_is_bounded_too():
    """Half a normal: chains that begin outside end with weight zero, and the bound is about the others."""
    half = cal.EnergyModel(lambda u: jnp.where(u > 0.0, norm.logpdf(u, 0.5), -jnp.inf), np.zeros(()))
    target, random = Target(half), np.random.default_rng(0)
    prepared = prepare(target, Elliptical(np.array([0.5]), np.array([1.0])), random, steps=2)
    assert np.isneginf(prepared.pilot.end.high).any()
    last = list(annealed_sides(target, prepared, random, Limits(delta=0.01), chains=1024))[-1]
    truth = math.log(0.6914624612740131)  # P[N(½, 1) > 0]
    assert truth - 0.2 < last.lower.value < truth


def test_bennett_balances_both_ways():
    random = np.random.default_rng(0)
    ahead = random.normal(3.0 - 0.125, 0.5, 20_000)  # log weights whose mean is e³, and the way back
    back = random.normal(-3.0 - 0.125, 0.5, 20_000)
    assert bennett(ahead, back) == pytest.approx(3.0, abs=0.02)


def test_refusals():
    method = cal.HamiltonianAnnealing()
    with pytest.raises(Refusal, match="δ"):
        method.plan(MODEL)
    with pytest.raises(Refusal, match="reals"):
        method.plan(cal.Ising.chain(3), Limits(delta=0.1))
    with pytest.raises(Refusal, match="key"):
        next(method.answers(MODEL, method.plan(MODEL, Limits(delta=0.1))))
    with pytest.raises(ValueError, match="steps"):
        cal.HamiltonianAnnealing(steps=0)
