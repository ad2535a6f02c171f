"""Cumulants, entropy, energy, heat capacity and susceptibility against enumeration and closed forms."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.listing import listed
from tests.strategies import factor_graphs

import calipers as cal
from calipers import zoo
from calipers.core.method import Refusal
from calipers.exact.thermodynamics import energy_statistic, magnetization_statistic

SMALL = [m for m in zoo.models() if np.prod(m.model.domains, dtype=float) <= 2**10 and m.log_z > -math.inf]


def random_statistic(graph, seed, terms=3):
    """A sum of random tables over up to three variables each."""
    rng = np.random.default_rng(seed)
    scopes = [tuple(rng.permutation(graph.n)[: rng.integers(0, 4)].tolist()) for _ in range(terms)]
    return [(s, rng.normal(size=[graph.sizes[v] for v in s])) for s in scopes]


def values(statistic, states):
    """f(x) of each configuration, shape (N,)."""
    return np.array([sum(float(t[tuple(x[v] for v in s)]) for s, t in statistic) for x in states])


def check(model, listing):
    p, w = listing.p, listing.log_weights
    surprise = -(w - np.logaddexp.reduce(w))
    assert cal.entropy(model) == pytest.approx(p @ surprise, abs=1e-10, rel=1e-10)
    assert cal.heat_capacity(model) == pytest.approx(p @ (surprise - p @ surprise) ** 2, abs=1e-10, rel=1e-10)
    energies = values(energy_statistic(model), listing.states)
    assert cal.energy(model) == pytest.approx(p @ energies, abs=1e-10, rel=1e-10)


@pytest.mark.parametrize("example", SMALL, ids=lambda m: m.name)
def test_the_zoo(example):
    listing, model = listed(example.model), example.model
    check(model, listing)
    if isinstance(model, cal.Ising):
        spins = 1 - 2 * listing.states
        np.testing.assert_allclose(values(energy_statistic(model), listing.states), model.energy(spins), atol=1e-12)
        variance = listing.covariance(spins.sum(1)[:, None])[0, 0]
        assert cal.susceptibility(model) == pytest.approx(model.beta * variance, abs=1e-10)


@given(graph=factor_graphs(), seed=st.integers(0, 1000))
def test_random_graphs(graph, seed):
    listing = listed(graph)
    if not len(listing.p):
        for ask in (cal.entropy, cal.heat_capacity, cal.energy):
            with pytest.raises(ValueError, match="weight zero"):
                ask(graph)
        return
    check(graph, listing)
    statistic = random_statistic(graph, seed)
    f = values(statistic, listing.states)
    mean = listing.p @ f
    central = [listing.p @ (f - mean) ** r for r in range(5)]
    expected = [mean, central[2], central[3], central[4] - 3 * central[2] ** 2]
    for order in (1, 2, 3, 4):
        np.testing.assert_allclose(cal.cumulants(graph, statistic, order), expected[:order], atol=1e-9, rtol=1e-9)


@given(beta=st.floats(0.01, 3.0), field=st.floats(-1.0, 1.0))
def test_a_free_spin(beta, field):
    spin = cal.Ising.from_arrays(np.zeros((0, 2), np.int64), fields=np.array([field]), beta=beta)
    x = beta * field
    assert cal.energy(spin) == pytest.approx(-field * math.tanh(x), abs=1e-14)
    assert cal.heat_capacity(spin) == pytest.approx((x / math.cosh(x)) ** 2, rel=1e-11, abs=1e-15)
    assert cal.susceptibility(spin) == pytest.approx(beta / math.cosh(x) ** 2, rel=1e-11)
    fourth = (6 * math.tanh(x) ** 2 - 2) / math.cosh(x) ** 2
    assert cal.cumulants(spin, magnetization_statistic(spin))[3] == pytest.approx(fourth, abs=1e-11)


def test_a_long_chain_has_the_textbook_heat_capacity():
    n, K = 1000, 0.7
    chain = cal.Ising.chain(n, beta=K, periodic=False)
    assert cal.heat_capacity(chain) == pytest.approx((n - 1) * (K / math.cosh(K)) ** 2, rel=1e-12)
    t = math.tanh(K)
    spread = n * (1 + t) / (1 - t) - 2 * t * (1 - t**n) / (1 - t) ** 2
    assert cal.susceptibility(chain) == pytest.approx(K * spread, rel=1e-12)


@pytest.mark.parametrize("T", [0.5, 2.269, 10.0])
def test_the_torus_of_a_published_density_of_states(T, shared_data):
    """Beale's g(E) of the 8 × 8 torus gives every derivative of log Z."""
    counts = json.loads((shared_data / "ising" / "dos_8.json").read_text())
    E = np.array([int(e) for e, g in counts.items() if int(g)], float)
    log_p = np.array([math.log(int(g)) for g in counts.values() if int(g)]) - E / T
    p = np.exp(log_p - np.logaddexp.reduce(log_p))
    torus = cal.Ising.square((8, 8), beta=1 / T)
    mean = p @ E
    third = p @ (E - mean) ** 3
    assert cal.energy(torus) == pytest.approx(mean, rel=1e-12)
    assert cal.heat_capacity(torus) == pytest.approx(p @ (E - mean) ** 2 / T**2, rel=1e-10)
    assert cal.entropy(torus) == pytest.approx(np.logaddexp.reduce(log_p) + mean / T, rel=1e-10)
    assert cal.cumulants(torus, energy_statistic(torus), 3)[2] == pytest.approx(third, rel=1e-9)


def test_frozen_models_keep_their_digits():
    """At T = 1/40 the heat capacity is about 10⁻⁶⁶: a difference of two energies would have lost it."""
    chain = cal.Ising.chain(12, beta=40.0, field=0.5, periodic=False)
    weight = {}
    for states in np.ndindex(*(2,) * 12):
        gap = float(chain.energy(1 - 2 * np.array(states)) - chain.energy(np.ones(12)))
        weight[gap] = weight.get(gap, 0) + 1
    terms = [(count * math.exp(-40.0 * gap), 40.0 * gap) for gap, count in weight.items() if gap > 0]
    assert cal.heat_capacity(chain) == pytest.approx(math.fsum(w * g**2 for w, g in terms), rel=1e-9)


def test_laws():
    """S = log Z + βU; entropy adds over independent parts; β does not scale the energy's definition."""
    glass = cal.Ising.square((5, 5), coupling="gauss:1.0", field=0.1, seed=3, beta=0.7)
    log_z = cal.log_z(glass, cal.Elimination()).value
    assert cal.entropy(glass) == pytest.approx(log_z + 0.7 * cal.energy(glass), rel=1e-12)
    graph = glass.factor_graph()
    assert cal.energy(graph) == pytest.approx(0.7 * cal.energy(glass), rel=1e-12)
    assert cal.energy(graph.tempered(2.0)) == pytest.approx(0.7 * cal.energy(glass.tempered(2.0)), rel=1e-12)
    assert cal.entropy(cal.FactorGraph((3, 5), (), ())) == pytest.approx(math.log(15), rel=1e-14)
    assert cal.entropy(cal.Ising.chain(9, beta=0.0)) == pytest.approx(9 * math.log(2), rel=1e-14)


def test_what_they_will_not_do():
    magnet = cal.Ising.chain(4)
    with pytest.raises(Refusal, match=r"2\^\d+"):
        cal.entropy(cal.Ising.complete(70))
    with pytest.raises(TypeError, match="magnet"):
        cal.susceptibility(magnet.factor_graph())
    with pytest.raises(ValueError, match="order is 5"):
        cal.cumulants(magnet, [((0,), [1.0, -1.0])], 5)
    with pytest.raises(ValueError, match="not finite"):
        cal.cumulants(magnet, [((0,), [1.0, math.inf])])
    with pytest.raises(ValueError, match="two states"):
        magnetization_statistic(cal.FactorGraph((3,), (), ()))
