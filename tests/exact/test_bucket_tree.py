"""The bucket tree against plain enumeration: value, gradient, memory reuse, splitting, entropies."""

import math

import numpy as np
import pytest
from hypothesis import given
from tests.strategies import factor_graphs

from calipers.exact import kernels
from calipers.exact.bucket_tree import BucketTree
from calipers.exact.enumeration import enumerate_all
from calipers.models.reduction import reduce


def parts(graph):
    reduced = reduce(graph)
    return reduced, reduced.model.domains, list(reduced.model.scopes), list(reduced.model.tables)


@given(factor_graphs())
def test_values_agree_with_enumeration_with_and_without_reuse_of_memory(graph):
    reduced, sizes, scopes, tables = parts(graph)
    truth = enumerate_all(graph)[0]
    for keep in (True, False):
        order = np.random.default_rng(0).permutation(len(sizes))
        value, error = BucketTree.build(sizes, scopes, order, keep=keep).log_partition(tables)
        if truth == -math.inf:
            assert value + reduced.log_constant == -math.inf
        else:
            assert abs(value + reduced.log_constant - truth) <= error + reduced.error + 1e-12 * max(1.0, abs(truth))


@given(factor_graphs(zeros=False))
def test_moments_are_the_gradient(graph):
    _, sizes, scopes, tables = parts(graph)
    if not tables:
        return
    tree = BucketTree.build(sizes, scopes, np.arange(len(sizes)))
    _, _, moments = tree.moments(tables)
    for a, table in enumerate(tables):
        assert moments[a].sum() == pytest.approx(1.0, abs=1e-10)
        spot = tuple(0 for _ in table.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [t.copy() for t in tables]
            moved[a][spot] += step
            ends.append(tree.log_partition(moved)[0])
        assert moments[a][spot] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


@given(factor_graphs())
def test_split_buckets_bound_from_above_at_every_sweep(graph):
    reduced, sizes, scopes, tables = parts(graph)
    truth = enumerate_all(graph)[0]
    tree = BucketTree.build(sizes, scopes, np.arange(len(sizes)), max_cells=4)
    run = tree.run(tables)
    run.forward()
    for _ in range(4):
        value = run.forward(damping=0.7) + reduced.log_constant
        assert value >= truth - 1e-9 * max(1.0, abs(truth) if math.isfinite(truth) else 1.0) or truth == -math.inf
        if value == -math.inf:
            break
        run.backward()
        run.reweight(0.3)
        sums = np.add.reduceat(run.weights, tree.program.group_ptr[:-1]) if len(run.weights) else np.ones(1)
        np.testing.assert_allclose(sums, 1.0, atol=1e-12)


def test_kernels_compile_once():
    graph = [(0, 1), (1, 2), (0, 2)]
    tables = [np.ones((2, 2)), np.zeros((2, 2)), np.eye(2)]
    for max_cells in (None, 4):
        run = BucketTree.build(np.array([2, 2, 2]), graph, np.arange(3), max_cells).run(tables)
        run.forward()
        run.backward()
    BucketTree.build(np.array([2, 2, 2]), graph, np.arange(3), keep=False).log_partition(tables)
    assert len(kernels.forward.signatures) == 1
    assert len(kernels.backward.signatures) == 1


def test_nothing_at_all():
    value, error = BucketTree.build(np.zeros(0, int), [], np.zeros(0, int)).log_partition([])
    assert value == 0.0
    assert error < 1e-12
