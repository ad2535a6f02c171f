"""Enumeration against NumPy sums over the joint table, and every corner: zeros, evidence, constants, nothing at all."""

import itertools
import math

import numpy as np
import pytest

from calipers.auto import Auto
from calipers.core.answer import Grounds, Result
from calipers.core.iterate import log_z
from calipers.core.method import Limits, Refusal
from calipers.exact.enumeration import Enumeration
from calipers.models.factor_graph import FactorGraph


def random_graph(seed: int, zeros: float = 0.0) -> FactorGraph:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, 6)
    scopes = [tuple(rng.permutation(6)[: rng.integers(0, 4)]) for _ in range(8)]
    tables = [np.exp(rng.normal(size=sizes[list(s)])) * (rng.random(sizes[list(s)]) >= zeros * bool(s)) for s in scopes]
    return FactorGraph.from_tables(sizes, list(zip(scopes, tables, strict=True)), evidence={2: int(sizes[2]) - 1})


def joint(graph: FactorGraph) -> np.ndarray:
    table = np.empty(graph.sizes)
    for x in itertools.product(*map(range, graph.sizes)):
        table[x] = math.exp(graph.log_weight(np.array(x)))
    return table


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("zeros", [0.0, 0.2])
def test_matches_the_joint_table(seed, zeros):
    graph = random_graph(seed, zeros)
    table = joint(graph)
    answer = log_z(graph, Enumeration())
    assert answer.grounds == (Grounds.EXACT, Grounds.EXACT)
    assert answer.result is Result.EXACT
    if table.sum() == 0:
        assert answer.value == answer.lower.value == answer.upper.value == -math.inf
        return
    expected = math.log(table.sum())
    assert answer.lower.value <= expected <= answer.upper.value
    assert answer.gap < 1e-12
    p = table / table.sum()
    for v, marginal in enumerate(answer.belief.marginals):
        np.testing.assert_allclose(marginal, p.sum(tuple(u for u in range(6) if u != v)), atol=1e-13)
    for scope, belief in zip(graph.scopes, answer.belief.factors, strict=True):
        rest = p.sum(tuple(u for u in range(6) if u not in scope))
        np.testing.assert_allclose(belief, rest.transpose(np.argsort(np.argsort(scope))), atol=1e-13)


def test_pieces_agree_with_a_chain():
    n, coupling = 20, 0.7  # more configurations than one piece holds
    table = coupling * np.array([[1.0, -1.0], [-1.0, 1.0]])
    graph = FactorGraph((2,) * n, tuple((i, i + 1) for i in range(n - 1)), (table,) * (n - 1))
    answer = log_z(graph, Enumeration())
    expected = n * math.log(2) + (n - 1) * math.log(math.cosh(coupling))
    assert answer.lower.value <= expected <= answer.upper.value
    np.testing.assert_allclose(answer.belief.marginals, 0.5, atol=1e-13)
    spins = np.array([[1.0, -1.0], [-1.0, 1.0]])
    np.testing.assert_allclose([(b * spins).sum() for b in answer.belief.factors], math.tanh(coupling), atol=1e-13)


def test_no_variables_is_the_constant():
    answer = log_z(FactorGraph((), ((), ()), (np.array(0.25), np.array(1.0))), Enumeration())
    assert answer.lower.value <= 1.25 <= answer.upper.value
    assert log_z(FactorGraph((), (), ()), Enumeration()).value == 0.0


def test_no_factors_counts():
    answer = log_z(FactorGraph((3, 1, 4), (), ()), Enumeration())
    assert answer.lower.value <= math.log(12) <= answer.upper.value
    np.testing.assert_allclose(answer.belief.marginals[2], 0.25)


def test_everything_observed():
    table = np.log(np.array([[0.1, 0.2], [0.3, 0.4]]))
    answer = log_z(FactorGraph((2, 2), ((1, 0),), (table,), evidence=((0, 1), (1, 0))), Enumeration())
    assert answer.value == pytest.approx(math.log(0.2), abs=1e-15)
    np.testing.assert_array_equal(answer.belief.factors[0], [[0, 1], [0, 0]])


@pytest.mark.parametrize("scope", [(), (0, 1)])
def test_zero_mass_is_exactly_minus_infinity(scope):
    shape = (2,) * len(scope)
    answer = log_z(FactorGraph((2, 2), (scope, (1,)), (np.full(shape, -np.inf), np.zeros(2))), Enumeration())
    assert answer.lower.value == answer.upper.value == -math.inf
    assert answer.exact
    assert answer.belief is None


def test_large_logs_do_not_overflow():
    answer = log_z(FactorGraph((2,), ((0,), ()), (np.array([-900.0, -901.0]), np.array(5000.0))), Enumeration())
    assert answer.lower.value <= 4100 + math.log1p(math.exp(-1)) <= answer.upper.value


def test_tempered_zeros_stay_zero():
    graph = FactorGraph((3,), ((0,),), (np.array([-np.inf, 1.0, 2.0]),)).tempered(0.0)
    answer = log_z(graph, Enumeration())
    assert answer.lower.value <= math.log(2) <= answer.upper.value


def test_refuses_with_the_estimate():
    graph = FactorGraph((2,) * 30, (), (), evidence=((0, 1),))
    with pytest.raises(Refusal, match=r"2\^29\.0"):
        Enumeration().plan(graph)
    assert "8 configurations" in str(Enumeration(limit=8).plan(FactorGraph((2,) * 3, (), ()), Limits()))
    with pytest.raises(ValueError, match="at least one"):
        Enumeration(limit=0)


def test_repr_round_trips():
    method = Enumeration(limit=64)
    assert eval(repr(method)) == method


@pytest.mark.parametrize("seed", range(12))
def test_one_table_of_all_configurations_says_the_same(seed):
    graph = random_graph(seed, 0.1 * (seed % 3))
    if seed % 2:
        graph = graph.condition({4: 0})
    want, quick = log_z(graph, Enumeration()), log_z(graph, Enumeration(beliefs=False))
    assert quick.belief is None
    assert quick.exact
    if want.value == -math.inf:
        assert quick.value == -math.inf
    else:
        assert abs(quick.value - want.value) <= want.stats["rounding"] + quick.stats["rounding"]
        assert quick.stats["rounding"] < 1e-11


def test_one_table_takes_scopes_in_any_order_constants_and_free_variables():
    table = np.log(np.arange(1.0, 7.0)).reshape(3, 2)
    graph = FactorGraph((2, 5, 3), ((2, 0), ()), (table, np.array(0.5)))
    assert log_z(graph, Enumeration(beliefs=False)).value == pytest.approx(0.5 + math.log(21 * 5), abs=1e-13)
    nothing = FactorGraph((2, 2), ((0,), (1,)), (np.zeros(2), np.full(2, -np.inf)))
    assert log_z(nothing, Enumeration(beliefs=False)).value == -math.inf


@pytest.mark.parametrize("size", [1e308, -1e308])
def test_logs_that_add_up_beyond_float64_are_refused(size):
    graph = FactorGraph((2,), ((0,), (0,)), (np.full(2, size), np.full(2, size)))
    with pytest.raises(ValueError, match="beyond float64"):
        log_z(graph, Auto())


def test_auto_enumerates_what_is_tiny_and_still_gives_marginals_when_asked():
    graph = random_graph(3)
    assert "Enumeration" in log_z(graph, Auto()).lower.method
    assert log_z(graph, Auto(), beliefs=True).belief is not None
