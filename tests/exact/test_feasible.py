import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipers.exact.feasible import cover, encode, feasible, feasible_points, has_zeros
from calipers.io.uai import read_uai
from calipers.models.factor_graph import FactorGraph


@given(st.integers(0, 2**32 - 1))
def test_it_finds_a_point_exactly_when_there_is_one(seed):
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 5, 5)
    factors = [
        (scope, (random.random(sizes[scope]) < 0.45).astype(float))
        for scope in (random.permutation(5)[: random.integers(0, 4)] for _ in range(6))
    ]
    model = FactorGraph.from_tables(sizes, factors, evidence={0: 0} if seed % 3 == 0 else {})
    weights = [model.log_weight(np.array(x)) for x in itertools.product(*map(range, sizes))]
    for hint in (0, 1):
        found = feasible(model, seed=hint)
        assert (found is None) == (max(weights) == -np.inf)
        assert found is None or model.log_weight(found) > -np.inf


@given(st.integers(0, 2**32 - 1))
def test_a_cover_forbids_exactly_the_zeros(seed):
    random = np.random.default_rng(seed)
    zero = random.random(random.integers(1, 5, random.integers(0, 4))) < random.random()
    forbidden = np.zeros(zero.shape, bool)
    for clause in cover(zero):
        for place in np.ndindex(zero.shape):
            forbidden[place] |= not any((place[p] == x) == wanted for p, x, wanted in clause)
    assert (forbidden == zero).all()


def test_cubes_are_few():
    """A table that depends on one of five variables is one clause; a deterministic table one a line."""
    zero = np.zeros((2,) * 5, bool)
    zero[:, 1] = True
    assert list(cover(zero)) == [[(1, 1, False)]]
    assert len(list(cover(~np.eye(6, dtype=bool)))) == 6


def test_preferred_states_are_followed_where_they_may_be():
    model = FactorGraph.from_tables((2, 3, 2), [((0, 1), np.array([[0.0, 1, 1], [1, 1, 1]]))])
    for wanted in ([1, 2, 0], [0, 1, 1], [1, 0, 1]):
        assert feasible(model, phases=np.array(wanted)).tolist() == wanted
    assert not np.array_equal(feasible(model, phases=np.array([0, 0, 0])), [0, 0, 0])


def test_one_solver_serves_many_wishes_and_says_none_once():
    model = FactorGraph.from_tables((2, 2), [((0, 1), 1.0 - np.eye(2))])
    found = list(feasible_points(model, [np.array([0, 1]), np.array([1, 0])]))
    assert [x.tolist() for x in found] == [[0, 1], [1, 0]]
    nothing = FactorGraph.from_tables((2,), [((), np.array(0.0))])
    assert list(feasible_points(nothing, [np.array([0])] * 3)) == [None]
    assert has_zeros(nothing)
    assert encode(nothing)[0] == [[]]


@pytest.mark.parametrize("name", ["log-1.cnf", "logistics.b.cnf", "BN_69", "linkage_11", "Promedus_11", "CSP_11"])
def test_published_models(shared_data, name):
    path = shared_data / "uai" / "uai2014" / f"{name}.uai"
    model = read_uai(path, f"{path}.evid")
    assert model.log_weight(feasible(model)) > -np.inf
