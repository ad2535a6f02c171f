"""The log-determinant relaxation: above log Z at every λ, its gradient, the constraint of eigenvalues beyond 3."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import magnets

import calipers as cal
from calipers.bounds.log_determinant import bound
from calipers.core.iterate import iterate, log_z
from calipers.core.method import Limits, Refusal
from calipers.exact.enumeration import enumerate_all


def dense(magnet):
    J = np.zeros((magnet.n, magnet.n))
    for (i, j), c in zip(magnet.edges, magnet.couplings, strict=True):
        J[i, j] = J[j, i] = magnet.beta * c
    return J, magnet.beta * magnet.fields


@settings(max_examples=80, deadline=None)
@given(magnets(), st.integers(0, 2**31))
def test_any_lambda_bounds_log_z(magnet, seed):
    truth = enumerate_all(magnet.factor_graph())[0]
    J, h = dense(magnet)
    rng = np.random.default_rng(seed)
    found = bound(J, h, np.abs(J).sum(1) + rng.exponential(size=magnet.n) + 1e-3)
    assert found is not None
    assert found.value + found.error >= truth
    outside = bound(J, h, np.full(magnet.n, np.linalg.eigvalsh(J)[-1] - 0.1))
    assert outside is None


@settings(max_examples=30, deadline=None)
@given(magnets(), st.integers(0, 2**31))
def test_the_gradient_is_the_slope(magnet, seed):
    J, h = dense(magnet)
    rng = np.random.default_rng(seed)
    lam, way = np.abs(J).sum(1) + 0.5 + rng.exponential(size=magnet.n), rng.normal(size=magnet.n)
    here, up, down = (bound(J, h, lam + s * 1e-5 * way) for s in (0, 1, -1))
    assert here is not None
    assert up is not None
    assert down is not None
    slope = float(here.slope @ way)
    assert slope == pytest.approx((up.value - down.value) / 2e-5, abs=1e-4 * max(1.0, abs(slope)))


@settings(max_examples=40, deadline=None)
@given(magnets())
def test_every_answer_is_above(magnet):
    truth = enumerate_all(magnet.factor_graph())[0]
    uppers = [a.upper.value for a in iterate(magnet, cal.LogDeterminant(), limits=Limits())]
    assert uppers == sorted(uppers, reverse=True)
    assert uppers[-1] >= truth


def test_independent_spins_lose_what_the_smearing_costs():
    upper = log_z(cal.Ising.from_arrays(np.zeros((0, 2), int), fields=np.zeros(7)), cal.LogDeterminant()).upper.value
    assert upper == pytest.approx(7 * 0.5 * (math.log(4 / 3) + math.log(math.pi * math.e / 2)), abs=1e-5)


def test_it_beats_mini_buckets_on_dense_models():
    dense_glass = cal.Ising.sherrington_kirkpatrick(60, beta=1.0, seed=0)
    wide = log_z(dense_glass, cal.MiniBucket(ibound=8, sweeps=5, orders=1)).upper.value
    assert log_z(dense_glass, cal.LogDeterminant()).upper.value < wide - 10.0


def test_refusals():
    magnet = cal.Ising.chain(5)
    with pytest.raises(Refusal, match="Ising"):
        log_z(magnet.factor_graph(), cal.LogDeterminant())
    with pytest.raises(Refusal, match="GB"):
        log_z(cal.Ising.chain(100_000), cal.LogDeterminant())
    with pytest.raises(ValueError, match="negative"):
        cal.LogDeterminant(steps=-1)
