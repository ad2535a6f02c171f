"""Covers: partitions whose blocks eliminate within the cells allowed, and that cross little."""

import math

import numpy as np
import pytest

from calipers.bounds.cover import blocks, covers, fitting_order, strengths
from calipers.exact.interaction import adjacency
from calipers.exact.ordering import order_cost


def grid(side: int) -> list[tuple[int, int]]:
    right = [(i * side + j, i * side + j + 1) for i in range(side) for j in range(side - 1)]
    return right + [(i, i + side) for i in range(side * (side - 1))]


def random_problem(seed: int, n: int = 40):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, n)
    scopes = [tuple(rng.permutation(n)[: rng.integers(0, 5)].tolist()) for _ in range(2 * n)]
    power = rng.random(len(scopes))
    power[rng.random(len(scopes)) < 0.2] = math.inf
    return sizes, scopes, power


def check(cover, sizes, scopes, power, cells):
    """Partition, widths by the cover's own orders, score."""
    n = len(sizes)
    assert sorted(np.concatenate(cover.blocks).tolist()) == list(range(n))
    home = np.empty(n, int)
    for k, (block, order) in enumerate(zip(cover.blocks, cover.orders, strict=True)):
        np.testing.assert_array_equal(block, np.sort(order))
        home[block] = k
        place = {v: i for i, v in enumerate(order.tolist())}
        inside = [tuple(place[v] for v in s if v in place) for s in scopes]
        assert order_cost(sizes[order], inside, np.arange(len(order))).log2_largest <= math.log2(cells) + 1e-6
    cut = [p for s, p in zip(scopes, power, strict=True) if len({int(home[v]) for v in s}) > 1]
    assert cover.crossing == len(cut)
    assert cover.hard == sum(map(math.isinf, cut))
    assert cover.score == pytest.approx(sum(p for p in cut if math.isfinite(p)))


@pytest.mark.parametrize("cells", [4, 2**5, 2**9])
@pytest.mark.parametrize("seed", range(4))
def test_covers_are_partitions_of_the_width_asked(seed, cells):
    sizes, scopes, power = random_problem(seed)
    found = covers(sizes, scopes, cells, power, seconds=math.inf)
    assert [(c.hard, c.score) for c in found] == sorted((c.hard, c.score) for c in found)
    for cover in found:
        check(cover, sizes, scopes, power, cells)


def test_a_square_is_cut_into_two_strips():
    sizes, scopes = np.full(256, 2), grid(16)
    best = covers(sizes, scopes, 2**9, seconds=math.inf)[0]
    check(best, sizes, scopes, np.ones(len(scopes)), 2**9)
    assert best.crossing == 16
    assert [len(b) for b in best.blocks] == [128, 128]


def test_a_shuffled_square_is_cut_nearly_as_well():
    names = np.random.default_rng(0).permutation(256)
    scopes = [(int(names[a]), int(names[b])) for a, b in grid(16)]
    assert covers(np.full(256, 2), scopes, 2**9, seconds=math.inf)[0].crossing <= 32


def test_strong_factors_are_kept_whole():
    scopes = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (1, 3)]
    power = np.array([1.0, 0.1, 1.0, 0.1, 0.1, 0.1])
    assert {tuple(b) for b in blocks((2,) * 4, scopes, 4, power)} == {(0, 1), (2, 3)}


def test_one_block_when_everything_fits():
    best = covers((3,) * 6, [(i, i + 1) for i in range(5)], 9)[0]
    assert len(best.blocks) == 1
    assert best.score == 0.0


def test_a_large_domain_stands_alone():
    sizes = np.array([10, 2, 2])
    best = covers(sizes, [(0, 1), (1, 2)], 4)[0]
    assert sorted(map(tuple, best.blocks)) == [(0,), (1, 2)]


def test_nothing_to_cover():
    assert covers((), [], 4)[0].blocks == ()
    assert [b.tolist() for b in blocks((2, 2), [], 4)] == [[0, 1]]
    with pytest.raises(ValueError, match="at least 2"):
        covers((2,), [], 1)


def test_fitting_order_gives_up():
    graph = adjacency(64, grid(8))
    assert fitting_order(graph, 7.0) is None
    assert fitting_order(graph, 9.0) is not None


def test_strengths_are_ranges_and_zeros_are_hard():
    tables = [np.array([0.0, 2.0]), np.array([[1.0, -np.inf], [0.0, 0.0]]), np.array(3.0)]
    np.testing.assert_array_equal(strengths(tables), [2.0, np.inf, 0.0])
