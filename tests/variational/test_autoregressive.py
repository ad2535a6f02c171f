"""The trial family: normalised, drawn as it says, its frontiers sufficient, its weights exact, its symmetry kept."""

import itertools

import jax
import numpy as np
import pytest

import calipers as cal
from calipers.bounds.autoregressive_tables import frontiers, network_of
from calipers.bounds.sweeps import optimised, prepare
from calipers.exact.enumeration import enumerate_all
from calipers.models.reduction import as_reduced
from calipers.variational.autoregressive import draw, first_weights, log_probability

GLASS = cal.Ising.square((3, 4), coupling="gauss:1", field="gauss:0.5", beta=0.8, seed=1)
MAGNET = cal.Ising.square((3, 3), beta=0.5)


def mixed_ring():
    """Triples around a ring of seven, domains of two and three states, one entry in seven zero."""
    random, sizes = np.random.default_rng(2), (2, 3, 2, 3, 2, 3, 2)
    scopes = [(i, (i + 1) % 7, (i + 3) % 7) for i in range(7)]
    tables = [
        random.gamma(1.0, size=[sizes[v] for v in s]) * (random.random([sizes[v] for v in s]) > 0.14) for s in scopes
    ]
    return cal.FactorGraph.from_tables(sizes, list(zip(scopes, tables, strict=True)))


MIXED = mixed_ring()
MODELS = pytest.mark.parametrize("model", [GLASS, MAGNET, MIXED], ids=["glass", "magnet", "mixed domains, zeros"])


def trial(model, ibound=0):
    """A network with weights at random, the run it comes from, and the reduced model."""
    reduced = as_reduced(model)
    run = prepare(reduced, np.arange(reduced.model.n), ibound)
    optimised(run, 5)
    network = network_of(run, list(reduced.model.scopes))
    with jax.enable_x64(True):
        weights = first_weights(network, 3, jax.random.key(0))
    random = np.random.default_rng(0)
    weights = {name: np.asarray(w) + 0.5 * random.standard_normal(w.shape) for name, w in weights.items()}
    return reduced, run, network, weights


def drawn(network, weights, count, seed=0):
    with jax.enable_x64(True):
        found = draw(network, weights, jax.random.key(seed), 1.0, count, exact=True)
    return np.asarray(found.states), np.asarray(found.logs)


def everything(network, sizes):
    """All states of the variables that are drawn, shape (v, Π sizes); variables that fill up stay in state 0."""
    states = np.array(list(itertools.product(*(range(k) for k in sizes)))).T
    return np.concatenate([states, np.zeros((len(network.base) - len(states), states.shape[1]), np.int64)])


@MODELS
def test_it_is_normalised_and_drawn_as_it_says(model):
    _, run, network, weights = trial(model)
    last_first = [g[0].variable for g in run.tree.groups][::-1]
    sizes = [int(run.tree.sizes[v]) for v in last_first][: network.size]
    whole = everything(network, sizes)
    chances = np.exp(log_probability(network, weights, whole))
    assert chances.sum() == pytest.approx(1.0, abs=1e-12)
    states, _ = drawn(network, weights, 20_000)
    index = np.ravel_multi_index(states[: network.size], sizes)
    counts = np.bincount(index, minlength=len(chances))
    often = chances * 20_000 > 10
    z = (counts - 20_000 * chances)[often] / np.sqrt(20_000 * chances * (1 - chances))[often]
    assert np.abs(z).max() < 5.0
    assert counts[chances == 0.0].sum() == 0


@MODELS
def test_weights_average_to_z_whatever_the_network_is(model):
    reduced, run, network, weights = trial(model)
    truth = enumerate_all(model.factor_graph())[0] - reduced.log_constant
    states, logs = drawn(network, weights, 40_000)
    ratio = np.exp(logs + np.sum(run.shed) - truth)
    assert abs(ratio.mean() - 1.0) < 5.0 * ratio.std() / 200.0
    small = np.unique(states, axis=1, return_index=True)[1]
    log_q = log_probability(network, weights, states[:, small])
    alive = np.isfinite(logs[small])
    mass = np.exp((logs[small] + log_q)[alive] + np.sum(run.shed) - truth).sum()  # Σ p over what was drawn
    assert 0.5 < mass < 1.0 + 1e-9


def test_a_frontier_is_all_that_an_exact_conditional_looks_at():
    graph = as_reduced(GLASS).model
    n, tables = graph.n, graph.log_tables()
    order = np.random.default_rng(3).permutation(n).tolist()
    seen = frontiers(n, list(graph.scopes), order)
    joint = np.zeros((2,) * n)
    for scope, table in zip(graph.scopes, tables, strict=True):
        shape = [1] * n
        for v in scope:
            shape[v] = 2
        joint = joint + np.asarray(table).transpose(np.argsort(np.argsort(scope)).argsort()).reshape(shape)
    weights = np.exp(joint - joint.max())
    for place, v in enumerate(order):
        gone = tuple(order[:place])
        rest = weights.sum(axis=gone, keepdims=True) if gone else weights
        conditional = rest / rest.sum(axis=v, keepdims=True)
        outside = tuple(u for u in range(n) if u != v and u not in seen[v])
        spread = conditional.max(axis=outside) - conditional.min(axis=outside)
        assert spread.max() < 1e-12  # nothing outside matters
        assert any(np.ptp(conditional, axis=u).max() > 1e-6 for u in seen[v]) or not seen[v]  # what is inside does


def test_a_magnet_without_fields_is_drawn_as_often_upside_down():
    _, _, network, weights = trial(MAGNET)
    assert network.bias == 0.0
    states, _ = drawn(network, weights, 50)
    flipped = states.copy()
    flipped[: network.size] = 1 - states[: network.size]
    same = np.abs(log_probability(network, weights, states) - log_probability(network, weights, flipped))
    assert same.max() < 1e-9
    assert trial(GLASS)[2].bias == 1.0


def test_mini_buckets_that_are_wide_enough_leave_nothing_to_learn():
    """With one bucket split, an untrained network's weights vary by what that bucket lost, and no more."""
    reduced, run, network, _ = trial(GLASS, ibound=5)
    with jax.enable_x64(True):
        weights = {k: np.asarray(w, np.float64) for k, w in first_weights(network, 3, jax.random.key(0)).items()}
    _, logs = drawn(network, weights, 4096)
    truth = enumerate_all(GLASS.factor_graph())[0] - reduced.log_constant
    value = np.log(np.exp(logs).mean()) + np.sum(run.shed)
    assert value == pytest.approx(truth, abs=5.0 * np.exp(logs).std() / np.exp(logs).mean() / 64.0)
    assert logs.max() <= 1e-9  # p ≤ U q
    assert network.size < reduced.model.n
