"""Magnets inside factor graphs: every log weight comes back, and what is no magnet is told apart."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.models.lattices import bonds
from calipers.models.recognition import as_ising, on_grid


@st.composite
def binary_graphs(draw: Any) -> FactorGraph:
    """Binary factor graphs with scopes of 0, 1 or 2 variables, in any order, repeated ones too."""
    n = draw(st.integers(1, 6))
    scopes = draw(st.lists(st.lists(st.integers(0, n - 1), max_size=2, unique=True).map(tuple), max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    tables = tuple(rng.normal(scale=3.0, size=(2,) * len(scope)) for scope in scopes)
    return FactorGraph((2,) * n, tuple(scopes), tables, beta=draw(st.sampled_from([1.0, 0.0, 0.7])))


@given(binary_graphs())
def test_every_log_weight_comes_back(graph):
    model = as_ising(graph)
    assert model is not None
    assert model.beta == 1.0
    for x in np.arange(2**graph.n)[:, None] >> np.arange(graph.n) & 1:
        assert model.log_weight(x) == pytest.approx(graph.log_weight(x), rel=1e-12, abs=1e-12)


@given(st.integers(0, 2**32))
def test_a_magnet_comes_back_bit_by_bit(seed):
    model = Ising.square((3, 4), coupling="gauss:1", field="gauss:0.3", beta=0.7, seed=seed)
    found = as_ising(model.factor_graph())
    assert found is not None
    assert found.edges.tolist() == model.edges.tolist()
    assert found.couplings.tolist() == (0.7 * model.couplings).tolist()
    assert found.fields.tolist() == (0.7 * model.fields).tolist()
    assert found.offset == 0.0


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (FactorGraph.from_tables((2, 3), [((0, 1), np.ones((2, 3)))]), "not binary"),
        (FactorGraph.from_tables((2,) * 3, [((0, 1, 2), np.ones((2, 2, 2)))]), "more than two"),
        (FactorGraph.from_tables((2, 2), [((0, 1), np.array([[1.0, 0.0], [0.0, 1.0]]))]), "zero"),
        (FactorGraph.from_tables((2, 2), [((), np.array(0.0))]), "zero"),
        (FactorGraph.from_tables((2, 2), [((0,), np.ones(2))], evidence={0: 1}), "evidence"),
    ],
)
def test_what_is_no_magnet(graph, reason):
    assert as_ising(graph) is None
    with pytest.raises(ValueError, match=reason):
        Ising.from_factor_graph(graph)


@pytest.mark.parametrize(("shape", "periodic"), [((4, 6), False), ((5, 3), True), ((3, 3), True), ((7, 2), False)])
def test_a_grid_is_seen_in_its_bonds(shape, periodic):
    magnet = Ising.square(shape, coupling="gauss:1", periodic=periodic, seed=1)
    plain = dataclasses.replace(magnet, lattice=None)
    found = on_grid(plain)
    assert found.lattice is not None
    assert found.lattice.kind == "square"
    assert set(map(tuple, found.edges.tolist())) <= {
        tuple(sorted(pair)) for pair in bonds(found.lattice, np.random.default_rng(0)).tolist()
    }
    assert np.array_equal(found.couplings, magnet.couplings)


def test_what_is_no_grid_stays_as_it_is():
    assert on_grid(Ising.from_arrays(np.zeros((0, 2), int), n=3)).lattice is None
    assert on_grid(Ising.from_arrays(np.array([[0, 1], [0, 2], [0, 3], [0, 7], [1, 6], [2, 5]]))).lattice is None
    chain = Ising.chain(6)
    assert on_grid(chain) is chain
