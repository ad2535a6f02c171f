"""Blocks of small elimination width: a partition, chordal as it should be, and exact draws given the rest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sampling.chains import surprise
from tests.strategies import magnets

import calipers as cal
from calipers.sampling.blocks import blocks
from calipers.sampling.neighbours import neighbours

LATTICES = [cal.Ising.square(12), cal.Ising.square(12, periodic=False), cal.Ising.cubic(4), cal.Ising.triangular(8),
            cal.Ising.random_regular(3, 50, seed=2), cal.Ising.complete(7)]  # fmt: skip


def check(model, width):
    made = blocks(model, neighbours(model), width)
    assert sorted(made.order) == list(range(model.n))
    turn, block = np.argsort(made.order), np.empty(model.n, int)
    block[made.order] = np.repeat(np.arange(len(made.ends) - 1), np.diff(made.ends))
    assert (made.degree <= width).all()
    later = [set(row[:d].tolist()) for row, d in zip(made.later, made.degree, strict=True)]
    for v, mine in enumerate(later):
        assert all(turn[u] > turn[v] and block[u] == block[v] for u in mine)
        if mine:  # eliminating v joins its later neighbours: the next of them has all others
            first = min(mine, key=lambda u: turn[u])
            assert mine - {first} <= later[first]
    for i, j in model.edges.tolist():
        if block[i] == block[j]:
            assert j in later[i] or i in later[j]
    return made


@pytest.mark.parametrize("width", [1, 3, 6])
@pytest.mark.parametrize("model", LATTICES, ids=range(len(LATTICES)))
def test_blocks_are_a_partition_of_small_width(model, width):
    made = check(model, width)
    if model.lattice.kind == "square" and width > 1:
        assert made.ends[1] > 0.6 * model.n  # strips, with more than half of the sites in the first block


@given(magnets(), st.integers(1, 4))
def test_blocks_of_any_magnet(model, width):
    check(model, width)


def test_one_sweep_of_a_tree_is_an_exact_draw():
    """Where one block is all, a sweep forgets where it began: χ² of configurations against exact probabilities."""
    tree = cal.Ising.from_arrays(
        np.array([[0, 1], [1, 2], [1, 3], [3, 4], [3, 5]]), np.array([1.0, -2.0, 0.5, 3.0, -1.0]),
        np.array([0.3, 0.0, -0.4, 0.2, 0.0, 1.0]), beta=0.7,
    )  # fmt: skip
    kernel = cal.BlockGibbs()
    state, _ = kernel.step(kernel.init(tree, seed=1, chains=20_000, start=np.zeros(6, int)), 1)
    assert len(state.ends) == 2
    x = np.stack(np.unravel_index(np.arange(64), (2,) * 6), axis=1)
    p = np.exp([tree.log_weight(row) for row in x])
    counts = np.bincount(np.ravel_multi_index(tuple(kernel.states(state).T.astype(int)), (2,) * 6), minlength=64)
    assert surprise(counts, p / p.sum()) > 1e-6


def test_choices_and_refusals():
    with pytest.raises(ValueError, match="width"):
        cal.BlockGibbs(0)
    with pytest.raises(cal.Refusal, match="too much for blocks"):
        cal.BlockGibbs(6).init(cal.Ising.square(6, beta=20.0), seed=0)
