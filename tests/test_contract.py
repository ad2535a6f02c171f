"""Every method on the whole zoo, from one table; and the contract test itself must fail for methods that break it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import calipers as cal
from calipers import zoo
from calipers.core.answer import Answer, Grounds, Side
from calipers.core.method import AbstractMethod, Limits, Plan, Proves
from calipers.testing import check_method, check_model

METHODS = [
    cal.Enumeration(),
    cal.Elimination(),
    cal.TransferMatrix(threads=1),
    cal.TransferMatrix(most_bits=2),
    cal.ClosedForm(),
    cal.Planar(),
    cal.ModelCounting(),
    cal.Exchangeable(),
    cal.MeanField(starts=3),
    cal.Bethe(),
    cal.Kikuchi(),
    cal.MiniBucket(ibound=1, sweeps=5),
    cal.MiniBucket(ibound=3, sweeps=5),
    cal.MiniBucket(sweeps=3),
    cal.Tangent(width=2, sweeps=10),
    cal.Tangent(width=4, starts=1),
    cal.Pairs(steps=8),
    cal.Strips(width=4, steps=10),
    cal.Strips(steps=6),
    cal.StructuredMeanField(width=2, starts=2),
    cal.StructuredMeanField(starts=2),
    cal.RegionBethe(width=1),
    cal.RegionBethe(),
    cal.LogDeterminant(steps=8),
    cal.Search(ibound=1, sweeps=3, orders=2),
    cal.Search(sweeps=3),
    cal.Clamping(),
    cal.Clamping(leaf_log2_size=2, upper=cal.MiniBucket(ibound=2, sweeps=3)),
    cal.Auto(),
]


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_methods_keep_the_contract(method):
    check_method(method)


STATISTICAL = [
    cal.ImportanceSampling(ibound=1, samples=3000, sweeps=5, orders=2),
    cal.ImportanceSampling(samples=2000),
    cal.AnnealedImportance(chains=64, steps=50),
    cal.TootsiePop(runs=8),
    cal.BidirectionalAnnealing(chains=20, steps=10, width=1),
    cal.AnnealedImportance(chains=32, population=8, steps=10),
]
TRAINED = cal.Autoregressive(ibound=0, hidden=4, steps=4, draws=32, samples=2048, sweeps=2, orders=1, annealing=0)


@pytest.mark.parametrize("method", STATISTICAL, ids=repr)
def test_statistical_methods_keep_the_contract(method):
    check_method(method, key=jax.random.key(3), delta=0.01)
    with pytest.raises(AssertionError, match="refused every model"):
        check_method(method, key=jax.random.key(3))


def test_trained_methods_keep_the_contract():
    """Without δ it gives estimates and the upper side; on models that need no network, both sides exactly."""
    check_method(TRAINED, key=jax.random.key(4), delta=0.01)
    check_method(TRAINED, models=zoo.models()[:4], key=jax.random.key(4))


ESTIMATES = [
    cal.PopulationAnnealing(population=16, populations=3, steps=8),
    cal.ThermodynamicIntegration(points=4, sweeps=32, chains=2),
    cal.MultistateReweighting(points=4, sweeps=32, chains=2),
]


@pytest.mark.parametrize("method", ESTIMATES, ids=repr)
def test_estimates_keep_the_contract(method):
    check_method(method, key=jax.random.key(5))
    with pytest.raises(AssertionError, match="refused every model"):
        check_method(method)


def _posteriors():
    """Small densities over reals with a known log Z: conjugate, constrained, with its own formula or without."""
    x = np.stack([np.ones(6), np.arange(6.0)], 1)
    known = cal.linear_gaussian(x, x @ [0.5, -0.3] + 0.1, noise=0.8)
    unknown = cal.Posterior(known.log_prior, known.log_likelihood, known.data, prior_sample=known.prior_sample)
    log_z = cal.log_z(known, cal.Conjugate()).value
    gamma = cal.EnergyModel(lambda s: 3.0 * jnp.log(s) - 2.0 * s, np.ones(()), cal.Positive())
    return [
        zoo.ZooModel("conjugate", known, log_z),
        zoo.ZooModel("without its formula", unknown, log_z),
        zoo.ZooModel("gamma", gamma, math.lgamma(4.0) - 4.0 * math.log(2.0)),
    ]


CONTINUOUS = [
    cal.Conjugate(),
    cal.GaussianVI(starts=2),
    cal.GaussianVI(rank="diagonal", starts=2),
    cal.GaussianVI(rank=1, starts=2),
    cal.PopulationMonteCarlo(components=3, draws=2000, rounds=4),
    cal.PopulationMonteCarlo(head=None, components=3, draws=2000, rounds=8),
    cal.Auto(),
]


@pytest.mark.parametrize("method", CONTINUOUS, ids=repr)
def test_methods_for_posteriors_keep_the_contract(method):
    check_method(method, models=_posteriors())
    if not isinstance(method, cal.Auto):
        with pytest.raises(AssertionError, match="refused every model"):
            check_method(method)


@pytest.mark.parametrize("example", zoo.models(), ids=lambda m: m.name)
def test_models_keep_the_contract(example):
    check_model(example.model)


class _Wrong(AbstractMethod):
    """A method that gives whatever it is told to."""

    proves = Proves.BOTH
    low: float = 0.0
    high: float = 0.0

    def plan(self, model, limits=Limits()):
        return Plan("guess", limits=limits)

    def answers(self, model, plan, key=None):
        yield Answer(
            Side(self.low, Grounds.COMPUTED, method=repr(self)), Side(self.high, Grounds.COMPUTED, method=repr(self))
        )


@pytest.mark.parametrize(("low", "high"), [(5.0, 1e9), (-1e9, -50.0), (math.nan, 1e9), (-1e9, math.inf)])
def test_a_wrong_method_is_caught(low, high):
    if math.isnan(low):
        with pytest.raises((AssertionError, ValueError)):
            check_method(_Wrong(low, high))
        return
    with pytest.raises(AssertionError):
        check_method(_Wrong(low, high))
