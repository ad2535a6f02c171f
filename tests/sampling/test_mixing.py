"""Conditions for fast mixing: the numbers, and what they promise, against transition matrices of small magnets."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calipers as cal
from calipers.core.method import Refusal
from calipers.sampling import mixing


def weak(seed, strength):
    """A random magnet of 5 spins, fields of any size."""
    rng = np.random.default_rng(seed)
    pairs = np.array(list(itertools.combinations(range(5), 2)))
    return cal.Ising.from_arrays(pairs, rng.normal(0, strength, len(pairs)), rng.normal(0, 1, 5), beta=1.3)


def site_matrices(model):
    """p (2ⁿ,), and the heat-bath transition matrix of each site."""
    n = model.n
    states = list(itertools.product((0, 1), repeat=n))
    logs = np.array([float(model.log_weight(np.array(x))) for x in states])
    p = np.exp(logs - np.logaddexp.reduce(logs))
    moves = []
    for i in range(n):
        move = np.zeros((len(p), len(p)))
        for a in range(len(p)):
            b = a ^ (1 << (n - 1 - i))
            move[a, a], move[a, b] = p[a] / (p[a] + p[b]), p[b] / (p[a] + p[b])
        moves.append(move)
    return p, moves


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_sweeps_are_enough_by_dobrushin(seed):
    model = weak(seed, 0.12)
    known = cal.fast_mixing(model)
    if known.dobrushin >= 1.0:
        return
    p, moves = site_matrices(model)
    sweep = np.linalg.multi_dot(moves)
    for epsilon in (0.2, 0.01):
        law = np.linalg.matrix_power(sweep, int(known.sweeps(epsilon)))
        assert 0.5 * np.abs(law - p).sum(axis=1).max() <= epsilon


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_the_gap_is_as_large_as_the_spectral_condition_says(seed):
    model = weak(seed, 0.12)
    known = cal.fast_mixing(model)
    if known.spectral >= 1.0:
        return
    p, moves = site_matrices(model)
    glauber = sum(moves) / model.n
    root = np.sqrt(p)
    values = np.linalg.eigvalsh(root[:, None] * glauber / root)
    assert 1.0 - values[-2] >= (1.0 - known.spectral) / model.n - 1e-12
    steps = int(known._replace(dobrushin=math.inf).sweeps(0.1)) * model.n
    law = np.linalg.matrix_power(glauber, steps)
    assert 0.5 * np.abs(law - p).sum(axis=1).max() <= 0.1
    assert math.log(1.0 / p.min()) <= known.log_least


def test_numbers_of_known_magnets(monkeypatch):
    square = cal.fast_mixing(cal.Ising.square(16, beta=0.2))
    assert square.dobrushin == pytest.approx(4.0 * math.tanh(0.2))
    assert square.spectral == pytest.approx(1.6)
    complete = cal.Ising.complete(30, beta=0.01)
    assert cal.fast_mixing(complete).spectral == pytest.approx(0.30)  # eigenvalues 29 and −1
    monkeypatch.setattr(mixing, "_DENSE", 0)
    assert cal.fast_mixing(complete).spectral == pytest.approx(0.58)
    glass = cal.Ising.sherrington_kirkpatrick(50, beta=0.1)
    more = cal.fast_mixing(glass).spectral
    monkeypatch.undo()
    assert cal.fast_mixing(glass).spectral <= more


def test_chains_say_where_it_holds():
    hot = cal.run_chain(cal.Ising.square(8, beta=0.2), cal.HeatBath(), sweeps=50, seed=0)
    assert hot.mixing is not None
    assert "heat bath mixes fast (Dobrushin's α = 0.79" in str(hot)
    cold = cal.run_chain(cal.Ising.square(8, beta=0.5), cal.HeatBath(), sweeps=50, seed=0)
    assert cold.mixing is None
    assert not cal.fast_mixing(cal.Ising.square(8, beta=0.5)).holds
    assert cal.fast_mixing(cal.Ising.square(8, beta=0.5)).sweeps() == math.inf
    potts = cal.zoo.random_graph(4, n=6, states=3, arity=3)
    assert cal.run_chain(potts, cal.Gibbs(), sweeps=50, seed=0).mixing is None
    with pytest.raises(Refusal):
        cal.fast_mixing(potts)
    with pytest.raises(ValueError, match="epsilon"):
        cal.fast_mixing(cal.Ising.square(8, beta=0.2)).sweeps(0.0)
