"""Laws that need no reference, and the one that matters most: no bound on the wrong side of enumeration."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import factor_graphs

import calipers as cal
from calipers.core.iterate import log_z
from calipers.exact.enumeration import enumerate_all
from calipers.models.factor_graph import FactorGraph

BOUNDS = [
    cal.MeanField(starts=2),
    cal.MiniBucket(ibound=1, sweeps=6, orders=2),
    cal.MiniBucket(ibound=2, sweeps=3, orders=1),
    cal.Tangent(width=1, starts=2, sweeps=6),
    cal.Tangent(width=3, starts=1, sweeps=6),
    cal.Search(ibound=1, sweeps=3, orders=2),
    cal.Clamping(leaf_log2_size=2, upper=cal.MiniBucket(ibound=1, sweeps=2), lower=cal.Tangent(width=2, starts=1)),
    cal.Elimination(order_seconds=0.01),
    cal.Auto(),
]


@settings(max_examples=150, deadline=None)
@given(factor_graphs())
def test_no_bound_is_on_the_wrong_side(graph):
    truth = enumerate_all(graph)[0]
    slack = 1e-9 * max(1.0, abs(truth)) if math.isfinite(truth) else 0.0
    for method in BOUNDS:
        answer = log_z(graph, method)
        assert answer.lower.value <= truth + slack, (method, truth, answer)
        assert answer.upper.value >= truth - slack, (method, truth, answer)


@settings(max_examples=60, deadline=None)
@given(factor_graphs())
def test_clamping_is_conditioning(graph):
    parts = [log_z(graph.condition({0: s}), cal.Elimination()).value for s in range(graph.sizes[0])
             if dict(graph.evidence).get(0, s) == s]  # fmt: skip
    assert np.logaddexp.reduce(parts) == pytest.approx(log_z(graph, cal.Elimination()).value, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(factor_graphs(), factor_graphs())
def test_a_disjoint_union_adds(a, b):
    shift = len(a.sizes)
    scopes = (*a.scopes, *(tuple(v + shift for v in s) for s in b.scopes))
    union = FactorGraph((*a.sizes, *b.sizes), scopes, (*a.log_tables(), *b.log_tables()))
    union = union.condition({**dict(a.evidence), **{v + shift: s for v, s in b.evidence}})
    parts = [log_z(g, cal.Elimination()).value for g in (a, b)]
    assert log_z(union, cal.Elimination()).value == pytest.approx(sum(parts), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(factor_graphs())
def test_relabelling_changes_nothing(graph):
    order = np.random.default_rng(0).permutation(len(graph.sizes))
    place = np.argsort(order)
    moved = FactorGraph(
        tuple(graph.sizes[v] for v in order),
        tuple(tuple(int(place[v]) for v in s) for s in graph.scopes),
        graph.tables,
        tuple(sorted((int(place[v]), s) for v, s in graph.evidence)),
        graph.beta,
    )
    assert log_z(moved, cal.Elimination()).value == pytest.approx(log_z(graph, cal.Elimination()).value, abs=1e-9)


@pytest.mark.parametrize(
    "method", [cal.MeanField(), cal.MiniBucket(ibound=2), cal.Tangent(width=3), cal.Elimination(), cal.TransferMatrix()]
)
def test_gauge_flips_and_constant_shifts(method):
    magnet = cal.Ising.square((3, 4), coupling="gauss:1", field="gauss:0.5", beta=0.7, seed=3)
    flip = np.random.default_rng(1).choice([-1.0, 1.0], magnet.n)
    couplings = magnet.couplings * flip[magnet.edges[:, 0]] * flip[magnet.edges[:, 1]]
    turned = dataclasses.replace(magnet, couplings=couplings, fields=magnet.fields * flip, lattice=None, offset=2.0)
    a, b = log_z(magnet, method), log_z(turned, method)
    for x, y in ((a.lower, b.lower), (a.upper, b.upper)):
        assert math.isinf(x.value) or y.value == pytest.approx(x.value - 0.7 * 2.0, abs=0.02)


def test_gradients_are_moments_and_finite_differences():
    magnet = cal.Ising.square((3, 3), coupling="gauss:1", field="gauss:0.3", beta=0.6, seed=2)
    with jax.enable_x64(True):

        def at(couplings):
            return cal.log_partition(eqx.tree_at(lambda m: m.couplings, magnet, couplings))

        slope = np.asarray(jax.grad(at)(jnp.asarray(magnet.couplings)))
        jitted = jax.jit(at)(jnp.asarray(magnet.couplings))
        assert float(jitted) == pytest.approx(float(at(magnet.couplings)), abs=1e-12)
    step = np.zeros(magnet.e)
    step[4] = 1e-5
    up, down = (
        log_z(dataclasses.replace(magnet, couplings=magnet.couplings + s * step), cal.Elimination()) for s in (1, -1)
    )
    assert slope[4] == pytest.approx((up.value - down.value) / 2e-5, abs=1e-6)
    np.testing.assert_allclose(slope, magnet.beta * cal.moments(magnet).correlation, atol=1e-12)


def test_gradients_of_tables_with_zeros_are_marginals():
    graph = FactorGraph.from_tables((2, 3), [((0, 1), np.array([[1.0, 0.0, 2.0], [0.5, 3.0, 0.0]]))]).tempered(2.0)
    with jax.enable_x64(True):
        slope = jax.grad(lambda t: cal.log_partition(eqx.tree_at(lambda g: g.tables[0], graph, t)))(
            jnp.asarray(graph.tables[0])
        )
    weights = np.array([[1.0, 0.0, 4.0], [0.25, 9.0, 0.0]])
    np.testing.assert_allclose(np.asarray(slope), 2.0 * weights / weights.sum(), atol=1e-12)


@pytest.mark.parametrize("side", [4, 8])
def test_elimination_agrees_with_kaufman(side, shared_data):
    import csv

    with open(shared_data / "ising" / "kaufman.csv") as file:
        rows = [r for r in csv.DictReader(file) if int(r["L"]) == side]
    assert rows
    for row in rows:
        answer = log_z(cal.Ising.square((side, side), beta=1.0 / float(row["T"])), cal.Elimination())
        expected = float(row["lnZ"])
        assert answer.value == pytest.approx(expected, rel=1e-10)
