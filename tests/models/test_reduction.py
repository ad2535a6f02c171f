"""Shrinking keeps log Z, keeps exactly the arc-consistent states, and says where every factor went."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calipers.models.factor_graph import FactorGraph
from calipers.models.propagation import flatten
from calipers.models.reduction import components, lift_states, reduce, restrict


@st.composite
def graphs(draw, zeros=True):
    """Up to six variables of 1 to 4 states, factors of arity 0 to 3 in any order of variables, many zeros, evidence."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=0, max_size=6))
    n = len(sizes)
    scope = st.permutations(range(n)).flatmap(lambda p: st.integers(0, min(3, n)).map(lambda k: tuple(p[:k])))
    scopes = tuple(draw(st.lists(scope, max_size=7)))
    entry = st.sampled_from([0.0, 0.0, 0.5, -1.25, 2.0, math.log(0.3)] + ([-math.inf] * 3 if zeros else []))
    tables = []
    for s in scopes:
        shape = [sizes[v] for v in s]
        count = math.prod(shape)
        tables.append(np.array(draw(st.lists(entry, min_size=count, max_size=count))).reshape(shape))
    seen = draw(st.sets(st.integers(0, n - 1), max_size=2)) if n else set()
    evidence = tuple((v, draw(st.integers(0, sizes[v] - 1))) for v in sorted(seen))
    return FactorGraph(sizes, scopes, tuple(tables), evidence, draw(st.sampled_from([1.0, 1.0, 0.3, 2.0])))


def log_z(graph):
    logs = [graph.log_weight(np.array(x, int)) for x in itertools.product(*map(range, graph.sizes))]
    top = max(logs)
    return top if top == -math.inf else top + math.log(math.fsum(math.exp(w - top) for w in logs))


def naive_states(graph, states=None):
    """The arc-consistent fixpoint by its definition; None when something becomes empty."""
    kept = [set(range(k)) for k in graph.sizes] if states is None else [set(map(int, s)) for s in states]
    for v, x in graph.evidence:
        kept[v] &= {x}
    before = None
    while before != kept:
        before = [set(k) for k in kept]
        for scope, table in zip(graph.scopes, graph.tables, strict=True):
            live = [x for x in itertools.product(*(sorted(kept[v]) for v in scope)) if table[x] > -math.inf]
            if not live:
                return None
            for j, v in enumerate(scope):
                kept[v] &= {x[j] for x in live}
    return None if any(not k for k in kept) else [sorted(k) for k in kept]


def check(graph, reduced, states):
    """The promises of `Reduced`, one after another."""
    expected = naive_states(graph, states)
    model = reduced.model
    if expected is None:
        assert reduced.log_constant == -math.inf
        assert model.n == 0
        assert all(len(s) == 0 for s in reduced.states)
        return
    assert [s.tolist() for s in reduced.states] == expected
    assert model.sizes == tuple(len(expected[v]) for v in reduced.variables)
    assert all(k >= 2 for k in model.sizes)
    assert {v for s in model.scopes for v in s} == set(range(model.n))
    assert all(list(s) == sorted(s) and s for s in model.scopes)
    for s, t in itertools.permutations(model.scopes, 2):
        assert not set(s) <= set(t)
    check_members(graph, reduced, expected)


def check_members(graph, reduced, expected):
    """Every factor's table is the sum of its members' logs; a factor in no list is uniform."""
    listed = list(itertools.chain(*reduced.members))
    assert len(set(listed)) == len(listed)
    logs = graph.log_tables()
    for scope, table, members in zip(reduced.model.scopes, reduced.model.tables, reduced.members, strict=True):
        outer = [int(reduced.variables[v]) for v in scope]
        for x in np.ndindex(*table.shape):
            state = {v: k[0] for v, k in enumerate(expected)} | {
                v: expected[v][i] for v, i in zip(outer, x, strict=True)
            }
            total = sum(logs[a][tuple(state[v] for v in graph.scopes[a])] for a in members)
            assert table[x] == pytest.approx(total, abs=1e-12)
    for a in set(range(len(logs))) - set(listed):
        assert np.ptp(logs[a][np.ix_(*(expected[v] for v in graph.scopes[a]))]) == 0


@settings(max_examples=300)
@given(graphs())
def test_reduction_keeps_log_z_and_finds_the_fixpoint(graph):
    reduced = reduce(graph)
    check(graph, reduced, None)
    assert reduced.log_constant + log_z(reduced.model) == pytest.approx(log_z(graph), abs=1e-10)


@settings(max_examples=150)
@given(graphs(), st.data())
def test_restriction_is_conditioning_on_sets_of_states(graph, data):
    states = [np.array(sorted(data.draw(st.sets(st.integers(0, k - 1), min_size=k > 1)))) for k in graph.sizes]
    reduced = restrict(graph, states, flatten(graph))
    check(graph, reduced, states)
    indicators = [np.where(np.isin(np.arange(k), s), 0.0, -np.inf) for k, s in zip(graph.sizes, states, strict=True)]
    clamped = FactorGraph(
        graph.sizes,
        (*graph.scopes, *((v,) for v in range(graph.n))),
        (*graph.log_tables(), *indicators),
        graph.evidence,
    )
    assert reduced.log_constant + log_z(reduced.model) == pytest.approx(log_z(clamped), abs=1e-10)


@given(graphs(), st.randoms(use_true_random=False))
def test_lifted_states_weigh_the_same(graph, random):
    reduced = reduce(graph)
    if reduced.log_constant == -math.inf:
        with pytest.raises(ValueError, match="weight zero"):
            lift_states(reduced, np.zeros(0, int))
        return
    x = np.array([[random.randrange(k) for k in reduced.model.sizes] for _ in range(3)], int).reshape(
        3, reduced.model.n
    )
    free = math.fsum(math.log(len(s)) for v, s in enumerate(reduced.states) if v not in reduced.variables)
    for small, large in zip(x, lift_states(reduced, x), strict=True):
        weight = reduced.model.log_weight(small) + reduced.log_constant - free
        assert weight == pytest.approx(graph.log_weight(large), abs=1e-10)


@given(graphs(zeros=False))
def test_components_partition_the_variables(graph):
    reduced = reduce(graph)
    parts = components(reduced)
    assert sorted(itertools.chain(*(p.tolist() for p in parts))) == list(range(reduced.model.n))
    label = {v: i for i, part in enumerate(parts) for v in part.tolist()}
    assert all(len({label[v] for v in scope}) == 1 for scope in reduced.model.scopes)
    assert sum(len(p) - 1 for p in parts) <= sum(len(s) - 1 for s in reduced.model.scopes)
    total = reduced.log_constant
    for part in parts:
        place = {v: i for i, v in enumerate(part.tolist())}
        inside = [a for a, s in enumerate(reduced.model.scopes) if s[0] in place]
        scopes = tuple(tuple(place[v] for v in reduced.model.scopes[a]) for a in inside)
        tables = tuple(reduced.model.tables[a] for a in inside)
        total += log_z(FactorGraph([reduced.model.sizes[v] for v in part], scopes, tables))
    assert total == pytest.approx(log_z(graph), abs=1e-9)


def test_a_reduced_model_does_not_shrink_again():
    graph = FactorGraph.from_tables(
        (2, 3, 2, 4),
        [
            ((2, 0), np.eye(2)),
            ((0,), np.array([1.0, 2.0])),
            ((1, 2), np.arange(6.0).reshape(3, 2)),
            ((), np.array(7.0)),
        ],
    )
    reduced = reduce(graph)
    assert reduced.log_constant == pytest.approx(math.log(7.0) + math.log(4.0), rel=1e-15)
    assert reduced.members == ((0, 1), (2,))
    assert reduced.describe() == "3 of 4 variables, 2 factors, largest domain 3"
    again = reduce(reduced.model)
    assert again.log_constant == 0.0
    assert again.model.scopes == reduced.model.scopes


def test_contradictions_are_proved_by_propagation():
    equal, differ = np.eye(2), 1.0 - np.eye(2)
    assert reduce(FactorGraph.from_tables((2,), [((0,), np.zeros(2))])).log_constant == -math.inf
    assert reduce(FactorGraph.from_tables((2,), [((), np.array(0.0))])).log_constant == -math.inf
    chain = FactorGraph.from_tables((2, 2), [((0, 1), equal)], evidence={0: 0, 1: 1})
    assert reduce(chain).log_constant == -math.inf
    assert "weight zero" in reduce(chain).describe()
    # arc consistency alone cannot see this one: both constraints have support for every state
    both = reduce(FactorGraph.from_tables((2, 2), [((0, 1), equal), ((1, 0), differ)]))
    assert log_z(both.model) == -math.inf


def test_no_variables_and_only_free_variables():
    assert reduce(FactorGraph((), (), ())).log_constant == 0.0
    free = reduce(FactorGraph((2, 3), (), ()))
    assert free.log_constant == pytest.approx(math.log(6.0), rel=1e-15)
    assert components(free) == []
    assert lift_states(free, np.zeros(0, int)).tolist() == [0, 0]
    assert "determined or free" in free.describe()


def test_a_long_chain_of_implications_is_followed_to_its_end():
    n = 20_000
    implies = np.array([[0.0, -np.inf], [0.0, 0.0]])  # x_{i+1} = 0 wherever x_i = 0
    scopes = tuple((i, i + 1) for i in range(n - 1))
    reduced = reduce(FactorGraph((2,) * n, scopes[::-1], (implies,) * (n - 1), ((0, 0),)))
    assert reduced.model.n == 0
    assert reduced.log_constant == 0.0


@pytest.mark.parametrize("states", [[[2], [0]], [[-1], [0]], [[0]]])
def test_states_outside_the_model_are_refused(states):
    graph = FactorGraph.from_tables((2, 2), [((0, 1), np.ones((2, 2)))])
    with pytest.raises(ValueError, match="states"):
        restrict(graph, [np.array(s) for s in states])


@pytest.mark.parametrize(("value", "beta"), [(math.nan, 1.0), (math.inf, 1.0), (-1e308, 10.0), (1e308, 10.0)])
def test_tables_that_are_no_logs_are_refused(value, beta):
    with pytest.raises(ValueError, match="NaN"):
        reduce(FactorGraph((2,), ((0,),), (np.array([0.0, value]),), beta=beta))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_zero_constant_ends_it_but_hides_no_table_that_is_no_log(value):
    zero = np.array(-math.inf)
    tables = (np.array([0.0, 1.0]), zero)
    reduced = reduce(FactorGraph((2, 3), ((0,), ()), tables, evidence=((1, 2),), beta=0.0))
    assert reduced.log_constant == -math.inf
    assert [len(kept) for kept in reduced.states] == [0, 0]
    with pytest.raises(ValueError, match="NaN"):
        reduce(FactorGraph((2,), ((0,), ()), (np.array([0.0, value]), zero)))
    with pytest.raises(ValueError, match="states"):
        restrict(FactorGraph((2,), ((),), (zero,)), [np.array([2])])
