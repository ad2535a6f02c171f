"""Elimination in JAX: the host's values within both error bars, derivatives, batches, compile counts."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import factor_graphs

import calipers as cal
from calipers.core.method import Limits, Refusal
from calipers.exact import elimination, elimination_jax
from calipers.exact.bucket_tree import BucketTree
from calipers.exact.contraction_jax import eliminate
from calipers.exact.elimination_jax import needed, solve
from calipers.exact.enumeration import enumerate_all
from calipers.exact.network import network, padded
from calipers.exact.product import ProductRun

JAX = cal.Elimination(engine="jax")


def grid(side=4, seed=0, beta=1.0):
    return cal.Ising.square((side, side), coupling="gauss:1", field="gauss:1", beta=beta, periodic=False, seed=seed)


@given(factor_graphs())
@settings(max_examples=15)
def test_it_brackets_enumeration_with_evidence_zeros_and_all(graph):
    answer = cal.log_z(graph, JAX)
    truth = enumerate_all(graph)[0]
    assert answer.exact
    assert answer.lower.value <= truth + 1e-12 * abs(truth) if math.isfinite(truth) else answer.value == truth
    assert answer.upper.value >= truth - 1e-12 * abs(truth) if math.isfinite(truth) else answer.value == truth


@pytest.mark.parametrize("scale", [1.0, 30.0, 400.0, 3000.0])
def test_host_and_device_agree_within_their_bars_whatever_the_range(scale):
    """Blocks of several buckets, domains of 2, 3 and 11, hard zeros; logs take over where numbers underflow."""
    rng = np.random.default_rng(int(scale))
    sizes = np.array([2, 3, 11, 2, 3, 2, 4, 2, 9, 2], np.int64)
    scopes = [tuple(rng.choice(10, 3, replace=False).tolist()) for _ in range(14)]
    tables = [scale * rng.normal(size=[sizes[v] for v in s]) for s in scopes]
    for t in tables[:5]:
        t[rng.random(t.shape) < 0.2] = -np.inf
    tree = BucketTree.build(sizes, scopes, rng.permutation(10))
    value, error, marginals = solve(tree, tables, True)
    run = ProductRun(tree, tables)
    assert abs(value - run.forward()) <= error + run.error
    assert marginals is not None
    for mine, other in zip(marginals, tree.moments(tables)[2], strict=True):
        assert mine == pytest.approx(other, abs=1e-9)


def test_many_blocks_of_one_message():
    magnet = cal.Ising.square((13, 13), coupling="gauss:1", field="gauss:1", periodic=False, seed=2)
    mine, other = cal.log_z(magnet, JAX), cal.log_z(magnet, cal.Elimination())
    assert mine.stats["device"] == jax.default_backend()
    assert mine.lower.value <= other.upper.value
    assert other.lower.value <= mine.upper.value
    assert mine.gap < 1e-10


def test_beliefs_are_the_marginals():
    mine, other = cal.moments(grid(), JAX), cal.moments(grid())
    assert mine.mean == pytest.approx(other.mean, abs=1e-12)
    assert mine.correlation == pytest.approx(other.correlation, abs=1e-12)


def test_an_impossible_model_has_log_z_of_minus_infinity():
    """Parity constraints round a loop that contradict each other: no table is empty, and propagation sees nothing."""
    equal, differ = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    graph = cal.FactorGraph.from_tables([2, 2, 2], [((0, 1), equal), ((1, 2), equal), ((0, 2), differ)])
    assert cal.log_z(graph, JAX).upper.value == -math.inf


def test_other_tables_compile_nothing():
    cache: Any = eliminate
    cal.log_z(grid(5, 0), JAX)
    before = cache._cache_size()
    for seed in range(1, 4):
        cal.log_z(grid(5, seed), JAX)
    assert cache._cache_size() == before


def test_first_and_second_derivatives():
    magnet = grid(3)
    of = lambda b: cal.log_partition(eqx.tree_at(lambda m: m.beta, magnet, b), JAX)  # noqa: E731
    with jax.enable_x64(True):
        beta, step = jnp.asarray(0.7), 1e-4
        slope, curve = float(jax.grad(of)(beta)), float(jax.jacfwd(jax.grad(of))(beta))
        values = [cal.log_z(grid(3, beta=0.7 + k * step)).value for k in (-1, 0, 1)]
    assert slope == pytest.approx((values[2] - values[0]) / (2 * step), rel=1e-6)
    assert curve == pytest.approx((values[2] - 2 * values[1] + values[0]) / step**2, rel=1e-4)


def test_a_batch_is_a_loop():
    magnet, betas = grid(3), np.array([0.0, 0.3, 1.0, 200.0])
    of = lambda b: cal.log_partition(eqx.tree_at(lambda m: m.beta, magnet, b), JAX)  # noqa: E731
    with jax.enable_x64(True):
        batch = jax.jit(jax.vmap(jax.value_and_grad(of)))(jnp.asarray(betas))
    for beta, value, slope in zip(betas, *map(np.asarray, batch), strict=True):
        alone = cal.log_z(grid(3, beta=float(beta)))
        assert value == pytest.approx(alone.value, rel=1e-12)
        assert np.isfinite(slope)


def test_evidence_and_constants_are_part_of_the_function():
    rng = np.random.default_rng(1)
    graph = cal.FactorGraph.from_tables(
        [2, 3, 2, 4], [((), 3.0), ((2, 1), rng.random((2, 3))), ((0, 1), rng.random((2, 3)))], evidence={1: 2}
    )
    with jax.enable_x64(True):
        assert float(cal.log_partition(graph, JAX)) == pytest.approx(enumerate_all(graph)[0], abs=1e-12)


def test_it_refuses_with_the_estimate_when_memory_is_short():
    with pytest.raises(Refusal, match=r"JAX needs .* GB"):
        JAX.plan(grid(14), Limits(memory=4e5))
    with pytest.raises(ValueError, match="engine is"):
        cal.Elimination(engine="tpu")


def test_the_estimate_holds_what_is_compiled():
    tree = cal.Elimination().plan(grid(14)).structure[1]
    with jax.enable_x64(True):
        net = network(tree)
        raw = padded(net, jnp.zeros(tree.layout.shifts.start))
        found = eliminate.lower(net, raw).compile().memory_analysis()
    assert found.temp_size_in_bytes + found.output_size_in_bytes <= needed(tree, False) + 1e6


def test_a_gpu_is_asked_where_tables_are_large(monkeypatch):
    monkeypatch.setattr(elimination_jax, "_WORTH", 100.0)
    monkeypatch.setattr(elimination_jax.jax, "default_backend", lambda: "gpu")
    asked = []

    def ask(*args):
        asked.append(1)
        return solve(*args)

    monkeypatch.setattr(elimination, "solve", ask)
    assert cal.log_z(grid(), cal.Elimination()).exact
    assert asked


@pytest.mark.parametrize("name", ["exp", "log"])
def test_xla_is_as_accurate_as_theorem_e2_takes_it_to_be(name):
    rng = np.random.default_rng(0)
    x = np.concatenate([-rng.exponential(30.0, 40000), -rng.random(40000)])
    x = x if name == "exp" else np.exp(x)
    with jax.enable_x64(True):
        found = np.asarray(getattr(jnp, name)(jnp.asarray(x)))
    exact = getattr(np, name)(x.astype(np.longdouble))
    assert float(np.abs((found - exact) / exact).max()) <= 8.0 * 2.0**-53
