"""Elimination on scaled numbers against enumeration in extended precision and against log space."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipers.exact import product, product_kernels, wiring
from calipers.exact.bucket_tree import BucketTree
from calipers.exact.product import ProductRun


def random_model(seed, n, amplitude, zeros=0.0, largest=4, factors=10, arity=4):
    """Scopes in any order, log tables of the given spread, some entries −inf."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, largest + 1, n)
    scopes = [tuple(random.permutation(n)[: random.integers(1, min(n, arity) + 1)].tolist()) for _ in range(factors)]
    tables = [amplitude * random.normal(size=[sizes[v] for v in s]) for s in scopes]
    for table in tables:
        table[random.random(table.shape) < zeros] = -np.inf
    return sizes, scopes, tables, random.permutation(n)


def enumerated(sizes, scopes, tables):
    """log Z in 64-bit mantissas: 2000 times more precise than what it judges."""
    logs = np.zeros(tuple(sizes), np.longdouble)
    for scope, table in zip(scopes, tables, strict=True):
        shape = [sizes[v] if v in scope else 1 for v in range(len(sizes))]
        logs = logs + np.transpose(table, np.argsort(scope)).reshape(shape).astype(np.longdouble)
    top = logs.max()
    return float("-inf") if top == -np.inf else top + np.log(np.exp(logs - top).sum())


def eliminated(sizes, scopes, tables, order, keep=False):
    run = ProductRun(BucketTree.build(np.asarray(sizes), scopes, order, keep=keep), tables)
    return run.forward(), run


@given(
    st.integers(0, 10_000),
    st.integers(1, 7),
    st.sampled_from([1.0, 30.0, 300.0, 1400.0]),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.booleans(),
)
def test_it_is_within_its_error_of_enumeration_for_any_range(seed, n, amplitude, zeros, keep):
    sizes, scopes, tables, order = random_model(seed, n, amplitude, zeros)
    truth = enumerated(sizes, scopes, tables)
    value, run = eliminated(sizes, scopes, tables, order, keep)
    if truth == -np.inf:
        assert value == -math.inf
    else:
        assert abs(np.longdouble(value) - truth) <= run.error
        assert run.error < 1e-10 * max(1.0, amplitude)


@pytest.mark.parametrize("seed", range(12))
def test_blocks_levels_and_dead_blocks_agree_with_log_space(seed, monkeypatch):
    monkeypatch.setattr(product, "_SHARED", 1 << 12)
    largest, n = ((2, 16), (3, 10), (4, 8))[seed % 3]
    random = np.random.default_rng(seed)
    zeros = 0.3 if seed % 2 else 0.0
    _, scopes, _, order = random_model(seed, n, 1.0, factors=2 * n)
    sizes = np.full(n, largest)
    scopes += [tuple(random.permutation(n)[: n - 1].tolist()), tuple(random.permutation(n)[: n - 2].tolist())]
    tables = [random.normal(size=[largest] * len(s)) * (80.0 if seed % 4 == 2 else 1.0) for s in scopes]
    for table in tables:
        table[random.random(table.shape) < zeros * (table.ndim > 1)] = -np.inf
    tree = BucketTree.build(sizes, scopes, order, keep=False)
    expected, error = tree.log_partition(tables)
    value, run = eliminated(sizes, scopes, tables, order)
    if expected == -math.inf:
        assert value == expected
    else:
        assert abs(value - expected) <= error + run.error
    assert max(tree.joint_cells) > wiring.BLOCK


@pytest.mark.parametrize("seed", range(24))
def test_marginals_are_those_of_log_space(seed, monkeypatch):
    monkeypatch.setattr(product, "_SHARED", 1 << 12)
    n, largest = ((6, 4), (14, 2), (9, 3))[seed % 3]
    random = np.random.default_rng(seed)
    sizes, scopes, tables, order = random_model(seed, n, (1.0, 20.0)[seed % 2], 0.2 * (seed % 4 == 1), largest, 2 * n)
    scopes += [tuple(random.permutation(n)[: n - 1].tolist())]
    tables += [random.normal(size=[sizes[v] for v in scopes[-1]])]
    tree = BucketTree.build(sizes, scopes, order)
    value, run = eliminated(sizes, scopes, tables, order, keep=True)
    if value == -math.inf or run.wide:
        return
    for mine, theirs in zip(run.marginals(), tree.moments(tables)[2], strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_marginals_ask_for_a_tree_that_keeps_its_messages():
    _, run = eliminated(*random_model(0, 4, 1.0))
    with pytest.raises(ValueError, match="keeps its messages"):
        run.marginals()


def test_a_chain_as_cold_as_can_be():
    """βJ = 300: Z = 2 (2 cosh 300)^(n−1); every table spans 600 nats, and no message may lose its small entry."""
    table = np.array([[300.0, -300.0], [-300.0, 300.0]])
    n = 60
    order = np.random.default_rng(1).permutation(n)
    value, run = eliminated([2] * n, [(i, i + 1) for i in range(n - 1)], [table] * (n - 1), order)
    assert abs(value - (math.log(2.0) + (n - 1) * 300.0)) <= run.error + 1e-16
    assert run.error < 1e-9
    tilt = [np.array([0.0, -600.0 * (-1) ** i]) for i in range(n)]  # fields that fight the couplings
    scopes, tables = [(i, i + 1) for i in range(n - 1)] + [(i,) for i in range(n)], [table] * (n - 1) + tilt
    tree = BucketTree.build(np.full(n, 2), scopes, order, keep=False)
    value, run = eliminated([2] * n, scopes, tables, order)
    assert run.wide > 0
    assert abs(value - tree.log_partition(tables)[0]) <= run.error + 1e-9


def test_numbers_from_1e_300_to_1e300_and_what_would_underflow():
    """Two paths to the same state: one product is 1e-600 of the other until a third table evens them out."""
    far = math.log(1e300)
    first, second, third = np.array([far, -far]), np.array([far, -far]), np.array([-2 * far, 2 * far])
    value, run = eliminated([2], [(0,), (0,), (0,)], [first, second, third], np.arange(1))
    assert abs(value - math.log(2.0)) <= run.error
    joined = [np.add.outer(first, np.zeros(2)), np.add.outer(second, np.zeros(2)), np.add.outer(third, np.zeros(2))]
    value, run = eliminated([2, 2], [(0, 1)] * 3, joined, np.arange(2))
    assert abs(value - 2.0 * math.log(2.0)) <= run.error


def test_zeros_are_told_from_underflow():
    """x0 = x1 is forbidden, x0 ≠ x1 has weight 1e-400: neither zero nor to be lost."""
    apart = np.array([[-np.inf, -921.0], [-921.0, -np.inf]])
    level = np.array([0.0, -921.0])
    value, run = eliminated([2, 2], [(0, 1), (0,), (1,)], [apart, level, level], np.array([0, 1]))
    assert abs(value - (math.log(2.0) - 1842.0)) <= run.error
    never = [np.array([[0.0, -np.inf], [-np.inf, 0.0]]), np.array([[-np.inf, 0.0], [0.0, -np.inf]])]
    assert eliminated([2, 2], [(0, 1), (0, 1)], never, np.arange(2))[0] == -math.inf


def test_the_error_adds_up_over_buckets_not_more():
    """(items + states) u a bucket and the tables' own: a chain of unit tables has hardly any."""
    n = 200
    value, run = eliminated([2] * n, [(i, i + 1) for i in range(n - 1)], [np.zeros((2, 2))] * (n - 1), np.arange(n))
    assert abs(value - n * math.log(2.0)) <= run.error
    assert run.error < 1e-16 * (n * (2 + 2 + 4) + 20 + 3 * value + 2 * n)


def test_offsets_visit_every_entry_once():
    sizes, scopes, tables, order = random_model(3, 6, 1.0)
    pieces = ProductRun(BucketTree.build(sizes, scopes, order, keep=False), tables).pieces
    for b in range(len(pieces.variable)):
        wired = wiring.wire(pieces, b)
        assert wiring.block_size(pieces, b) == (wired.width * wired.blocks, wired.width)
        start, digit = np.empty(len(wired.piece), np.int64), np.zeros(max(wired.cut, 1), np.int64)
        wiring.starts(pieces, wired, 0, digit, start)
        for i, p in enumerate(wired.piece):
            table = np.empty(wired.width, np.int64)
            runs = wiring.offsets(wired, i, table)
            seen = {int(start[i] + o + l) for o, l in itertools.product(table[:runs], range(wired.run[i]))}
            assert seen <= set(range(int(pieces.at[p]), int(pieces.at[p] + pieces.length[p])))
            assert runs * wired.run[i] == wired.width


def test_kernels_compile_once():
    eliminated(*random_model(0, 5, 900.0, 0.2))
    assert len(product_kernels.sum_blocks.signatures) == 1


def test_nothing_at_all():
    assert eliminated([], [], [], np.zeros(0, int))[0] == 0.0
