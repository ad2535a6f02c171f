"""Elimination orders: costs against a literal elimination game, every heuristic a permutation, known widths reached."""

import itertools
import math

import numpy as np
import pytest

from calipers.exact import graph_sweeps as walks
from calipers.exact import ordering, single_orders
from calipers.exact.contraction_orders import cotengra_order, order_to_path, path_to_order
from calipers.exact.ordering import adjacency, best_order, greedy_order, min_size_order, order_cost, swept_order


def grid(rows: int, columns: int, *, periodic: bool = False) -> list[tuple[int, int]]:
    def at(i: int, j: int) -> int:
        return i % rows * columns + j % columns

    right = [(at(i, j), at(i, j + 1)) for i in range(rows) for j in range(columns - (not periodic))]
    return right + [(at(i, j), at(i + 1, j)) for i in range(rows - (not periodic)) for j in range(columns)]


def random_problem(seed: int, n: int = 14):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, n)
    scopes = [tuple(rng.permutation(n)[: rng.integers(0, 5)].tolist()) for _ in range(int(rng.integers(0, 2 * n)))]
    return sizes, scopes


def literal_cost(sizes, scopes, order) -> tuple[float, float]:
    """Plays the elimination game with sets."""
    around = {v: set() for v in range(len(sizes))}
    for scope in scopes:
        for a, b in itertools.permutations(scope, 2):
            around[a].add(b)
    cells = []
    for v in order:
        joined = around.pop(v)
        cells.append(math.prod(int(sizes[u]) for u in joined | {v}))
        for u in joined:
            around[u] = (around[u] | joined) - {u, v}
    return math.log2(max(cells)), math.log2(sum(cells))


@pytest.mark.parametrize("seed", range(10))
def test_cost_is_that_of_the_elimination_game(seed):
    sizes, scopes = random_problem(seed)
    order = np.random.default_rng(seed).permutation(len(sizes))
    assert order_cost(sizes, scopes, order) == pytest.approx(literal_cost(sizes, scopes, order), abs=1e-9)


def test_cost_refuses_what_is_no_permutation():
    with pytest.raises(ValueError, match="each of the 3 variables once"):
        order_cost((2, 2, 2), [(0, 1)], [0, 1, 1])


def test_adjacency_lists_each_neighbour_once():
    graph = adjacency(5, [(0, 1, 2), (2, 1), (4,), ()], (2, 3, 4, 5, 6))
    rows = [graph.nbr[graph.ptr[v] : graph.ptr[v + 1]].tolist() for v in range(5)]
    assert rows == [[1, 2], [0, 2], [0, 1], [], []]
    part = graph.induced(np.array([2, 0, 4]))
    assert part.ptr.tolist() == [0, 1, 2, 2]
    assert part.nbr.tolist() == [1, 0]
    np.testing.assert_allclose(part.log2_sizes, np.log2([4, 2, 6]))


def candidates(sizes, scopes):
    graph = adjacency(len(sizes), scopes, sizes)
    level = walks.levels(graph.ptr, graph.nbr)
    jitter = np.random.default_rng(0).random(graph.n)
    yield level
    yield swept_order(graph, level)
    yield min_size_order(graph)
    yield single_orders._sparse_min_size(graph)
    for mix, noise, weighted in itertools.product((0.0, 0.3, math.inf), (0.0, 0.2), (False, True)):
        yield greedy_order(graph, mix=mix, noise=noise, weighted=weighted, jitter=jitter)
    for start in (None, level):
        order = cotengra_order(graph, scopes, start, seed=1)
        if order is not None:
            yield order


@pytest.mark.parametrize("seed", range(6))
def test_every_heuristic_gives_a_permutation(seed):
    sizes, scopes = random_problem(seed)
    for order in candidates(sizes, scopes):
        np.testing.assert_array_equal(np.sort(order), np.arange(len(sizes)))


def greedy_literally(sizes, scopes, weighted: bool | None):
    """The scores that each choice of a greedy order saw: min-size (None) or min-fill, weighted or not."""
    around = {v: set() for v in range(len(sizes))}
    for scope in scopes:
        for a, b in itertools.permutations(scope, 2):
            around[a].add(b)
    weight = np.maximum(np.log2(sizes), 0.01)

    def score(v):
        if weighted is None:
            return math.log2(math.prod(int(sizes[u]) for u in around[v] | {v}))
        missing = (p for p in itertools.combinations(around[v], 2) if p[1] not in around[p[0]])
        return sum(weight[a] * weight[b] if weighted else 1.0 for a, b in missing)

    def eliminate(v):
        joined = around.pop(v)
        for u in joined:
            around[u] = (around[u] | joined) - {u, v}

    return around, score, eliminate


@pytest.mark.parametrize("weighted", [None, False, True])
@pytest.mark.parametrize("seed", range(5))
def test_greedy_takes_the_least_score(weighted, seed):
    sizes, scopes = random_problem(seed)
    graph = adjacency(len(sizes), scopes, sizes)
    order = greedy_order(graph, mix=math.inf if weighted is None else 0.0, weighted=bool(weighted))
    around, score, eliminate = greedy_literally(sizes, scopes, weighted)
    for v in order.tolist():
        assert score(v) == pytest.approx(min(map(score, around)), abs=1e-6)
        eliminate(v)


@pytest.mark.parametrize("seed", range(5))
def test_quotient_graph_takes_the_smallest_bucket(seed):
    sizes, scopes = random_problem(seed, n=30)
    order = single_orders._sparse_min_size(adjacency(len(sizes), scopes, sizes))
    around, score, eliminate = greedy_literally(sizes, scopes, None)
    for v in order.tolist():
        assert score(v) <= min(map(score, around)) + 0.126  # its queue is graded in eighths of a bit
        eliminate(v)


def test_limits_give_up():
    graph = adjacency(64, grid(8, 8))
    assert greedy_order(graph, limit=5.0) is None
    assert greedy_order(graph, ceiling=8.0) is None
    assert swept_order(graph, np.arange(64), 6.0) is None
    assert ordering.price(graph, np.arange(64), ceiling=8.5) is None


@pytest.mark.parametrize(
    ("scopes", "n", "log2_largest"),
    [
        ([(i, i + 1) for i in range(9)], 10, 2),
        ([(i, (i + 1) % 10) for i in range(10)], 10, 3),
        (list(itertools.combinations(range(12), 2)), 12, 12),
        (list(itertools.product(range(7), range(7, 14))), 14, 8),
        (grid(8, 16), 128, 9),
        (grid(16, 16), 256, 17),
        (grid(4, 12, periodic=True), 48, 9),
    ],
    ids=["chain", "ring", "clique", "bipartite", "strip", "square", "torus"],
)
def test_known_widths_are_reached(scopes, n, log2_largest):
    names = np.random.default_rng(0).permutation(n)  # the numbering must not matter
    scopes = [tuple(int(names[v]) for v in scope) for scope in scopes]
    found = best_order((2,) * n, scopes, seconds=math.inf, trials=40)
    assert found.log2_total <= log2_largest + math.log2(n)  # total work decides: a few larger tables may cost less
    assert order_cost((2,) * n, scopes, found.order) == pytest.approx((found.log2_largest, found.log2_total))


def test_search_is_reproducible_and_never_loses_by_searching_on():
    sizes, scopes = random_problem(3, n=40)
    short, long, again = (best_order(sizes, scopes, seconds=math.inf, trials=t, seed=5) for t in (3, 60, 60))
    np.testing.assert_array_equal(long.order, again.order)
    assert long.log2_total <= short.log2_total
    assert long.tried == again.tried == 60


def test_enough_stops_the_search():
    found = best_order((2,) * 256, grid(16, 16), enough=17.0, seconds=math.inf)
    assert found.log2_largest <= 17.0
    assert found.tried < 10


@pytest.mark.parametrize("n", [0, 1, 3])
def test_without_factors(n):
    found = best_order((3,) * n, [])
    assert sorted(found.order.tolist()) == list(range(n))
    assert found.log2_largest == pytest.approx(math.log2(3) if n else -math.inf)


def test_many_variables_need_no_bits(monkeypatch):
    for module in (ordering, single_orders):
        monkeypatch.setattr(module, "MAX_BITSET", 50)
    found = best_order((2,) * 100, [(i, i + 1) for i in range(99)], seconds=math.inf, trials=50)
    assert found.log2_largest == 2.0
    late = min_size_order(adjacency(100, grid(10, 10)), deadline=0.0)
    assert sorted(late.tolist()) == list(range(100))


@pytest.mark.parametrize("seed", range(5))
def test_paths_and_orders_convert(seed):
    sizes, scopes = random_problem(seed)
    inputs = [s for s in scopes if s]
    order = np.random.default_rng(seed).permutation(len(sizes))
    path = order_to_path(inputs, order)
    assert len(path) == max(len(inputs) - 1, 0)
    back = path_to_order(len(sizes), inputs, path)
    assert sorted(back.tolist()) == list(range(len(sizes)))
    if inputs:
        assert order_cost(sizes, scopes, back).log2_total <= order_cost(sizes, scopes, order).log2_total + 1e-9
