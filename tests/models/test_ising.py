"""Ising magnets against enumeration, against laws that need no reference, and against published values."""

import csv
import itertools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from calipers.models.ising import Ising
from calipers.models.spins import to_spins, to_states


def all_states(n: int) -> np.ndarray:
    return np.arange(2**n)[:, None] >> np.arange(n) & 1


def log_z(model: Ising) -> float:
    """log Z by enumeration."""
    weights = -model.beta * model.energy(to_spins(all_states(model.n)))
    return float(logsumexp(weights))


@st.composite
def magnets(draw: Any, most: int = 6) -> Ising:
    """Small magnets on any graph, with parallel edges, fields and an offset."""
    n = draw(st.integers(1, most))
    pairs = list(itertools.permutations(range(n), 2))
    edges = draw(st.lists(st.sampled_from(pairs), max_size=9)) if pairs else []
    numbers = st.floats(-2, 2, allow_subnormal=False)
    couplings = draw(st.lists(numbers, min_size=len(edges), max_size=len(edges)))
    fields = draw(st.lists(numbers, min_size=n, max_size=n))
    beta, offset = draw(st.floats(0, 2)), draw(st.sampled_from([0.0, -1.5, 0.25]))
    shape = np.array(edges, np.int64).reshape(-1, 2)
    return Ising.from_arrays(shape, np.array(couplings), np.array(fields), beta, offset)


@given(magnets())
def test_every_weight_equals_the_factor_graphs(model):
    graph = model.factor_graph()
    for x in all_states(model.n):
        assert model.log_weight(x) == pytest.approx(graph.log_weight(x), rel=1e-12, abs=1e-12)


@given(magnets(), st.data())
def test_gauge_flip_keeps_log_z(model, data):
    signs = np.array(data.draw(st.lists(st.sampled_from([-1, 1]), min_size=model.n, max_size=model.n)))
    couplings = model.couplings * signs[model.edges].prod(axis=1)
    flipped = Ising.from_arrays(model.edges, couplings, model.fields * signs, model.beta, model.offset)
    assert log_z(flipped) == pytest.approx(log_z(model), abs=1e-12)


@given(magnets(), st.randoms(use_true_random=False))
def test_relabelling_keeps_log_z(model, random):
    order = np.array(random.sample(range(model.n), model.n))
    fields = np.empty(model.n)
    fields[order] = model.fields
    moved = Ising.from_arrays(order[model.edges], model.couplings, fields, model.beta, model.offset)
    assert log_z(moved) == pytest.approx(log_z(model), abs=1e-12)


@given(magnets(4), magnets(4))
def test_disjoint_union_adds(a, b):
    union = Ising.from_arrays(
        np.concatenate([a.edges, b.edges + a.n]),
        np.concatenate([a.beta * a.couplings, b.beta * b.couplings]),
        np.concatenate([a.beta * a.fields, b.beta * b.fields]),
        offset=a.beta * a.offset + b.beta * b.offset,
    )
    assert log_z(union) == pytest.approx(log_z(a) + log_z(b), abs=1e-11)


@given(magnets(), st.floats(0, 3))
def test_tempering_multiplies_every_log_weight(model, beta):
    hot = model.tempered(beta)
    for x in all_states(model.n):
        assert hot.log_weight(x) == pytest.approx(beta * model.log_weight(x), rel=1e-12, abs=1e-12)


@given(magnets(), st.data())
def test_conditioning_on_both_states_adds_up(model, data):
    site = data.draw(st.integers(0, model.n - 1))
    parts = [
        [graph.log_weight(x) for x in all_states(model.n)] for graph in (model.condition({site: s}) for s in (0, 1))
    ]
    assert logsumexp(np.concatenate(parts)) == pytest.approx(log_z(model), abs=1e-12)


def test_kaufman_by_enumeration(shared_data):
    """Sides of 4 at six temperatures: log Z of the table, twenty digits."""
    path = shared_data / "ising" / "kaufman.csv"
    if not path.is_file():
        pytest.skip(f"no table of Kaufman's finite-size values at {path}")
    rows = [row for row in csv.DictReader(path.read_text().splitlines()) if row["L"] == "4"]
    assert len(rows) == 6
    for row in rows:
        model = Ising.square(4, beta=1 / float(row["T"]))
        assert log_z(model) == pytest.approx(float(row["lnZ"]), abs=1e-12)


def test_the_energy_counts_each_edge_once():
    model = Ising.from_arrays(np.array([[0, 1], [2, 1]]), np.array([2.0, -3.0]), np.array([0.5, 0.0, -1.0]), offset=7.0)
    assert model.energy([1, 1, -1]) == 7.0 - 2.0 - 3.0 - 0.5 - 1.0
    assert model.energy([[1, 1, 1], [-1, -1, -1]]).tolist() == [7.0 - 2.0 + 3.0 + 0.5, 7.0 - 2.0 + 3.0 - 0.5]
    assert model.magnetization([1, 1, -1]) == 1.0
    assert float(model.energy(jnp.array([1.0, 1.0, -1.0]))) == 0.5


def test_factors_come_in_their_order():
    model = Ising.chain(3, coupling=0.5, field="gauss:1", beta=2.0, periodic=False)
    graph = model.factor_graph()
    assert graph.scopes == ((0, 1), (1, 2), (0,), (1,), (2,))
    assert graph.tables[0].tolist() == [[1.0, -1.0], [-1.0, 1.0]]
    assert graph.tables[2].tolist() == [2 * model.fields[0], -2 * model.fields[0]]
    assert graph.beta == 1.0
    with_offset = Ising.from_arrays(model.edges, 0.5, model.fields, 2.0, 3.0).factor_graph()
    assert with_offset.scopes[5:] == ((),)
    assert with_offset.tables[-1] == -6.0


def test_repeated_edges_add_and_come_ordered():
    model = Ising.from_arrays(np.array([[2, 1], [1, 0], [1, 2], [0, 1]]), np.array([1.0, 2.0, 3.0, -2.0]))
    assert model.edges.tolist() == [[0, 1], [1, 2]]
    assert model.couplings.tolist() == [0.0, 4.0]
    assert (model.n, model.e) == (3, 2)


def test_states_and_spins():
    assert to_spins([0, 1]).tolist() == [1.0, -1.0]
    assert to_spins(np.array([0, 1], np.uint8)).tolist() == [1.0, -1.0]
    assert to_states([1, -1]).tolist() == [0, 1]
    model = Ising.from_arrays(np.zeros((0, 2), np.int64), fields=np.array([0.75]))
    assert (model.log_weight([0]), model.log_weight([1])) == (0.75, -0.75)


def test_infinite_temperature_and_no_sites():
    assert log_z(Ising.square(3, beta=0.0)) == pytest.approx(9 * math.log(2), abs=1e-14)
    assert Ising.square(2, beta=0.0).temperature == math.inf
    empty = Ising.from_arrays(np.zeros((0, 2), np.int64), offset=2.0)
    assert (empty.n, empty.log_weight([]), empty.factor_graph().scopes) == (0, -2.0, ((),))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"edges": [[0, 0]]}, "to itself"),
        ({"edges": [[0, 1]], "fields": [1.0]}, "join sites 0 to 0"),
        ({"edges": [[-1, 0]], "fields": [1.0, 0.0]}, "-1 to 0 came"),
        ({"edges": [[0, 1, 2]]}, "shape"),
        ({"edges": [[0.0, 1.0]]}, "integers"),
        ({"edges": [[0, 1]], "couplings": [1.0, 2.0]}, "couplings"),
        ({"edges": [[0, 1]], "couplings": [math.nan]}, "finite"),
        ({"edges": [[0, 1]], "couplings": [1e308], "beta": 10.0}, "finite"),
        ({"edges": [[0, 1]], "fields": [0.0, math.inf]}, "finite"),
        ({"edges": [[0, 1]], "couplings": ["one"]}, "numbers"),
        ({"edges": [[0, 1]], "couplings": [1j]}, "numbers"),
        ({"edges": [[0, 1]], "beta": -1.0}, "beta"),
        ({"edges": [[0, 1]], "beta": math.nan}, "beta"),
        ({"edges": [[0, 1]], "labels": ["a", "a"]}, "label"),
        ({"edges": [[0, 1]], "fields": [0.0, 0.0], "labels": ["a"]}, "label"),
    ],
)
def test_what_cannot_be_is_refused(arguments, complaint):
    arguments = {k: np.array(v) if isinstance(v, list) and k != "labels" else v for k, v in arguments.items()}
    with pytest.raises(ValueError, match=complaint):
        Ising.from_arrays(**arguments)


def test_the_raw_constructor_asks_for_canonical_edges():
    with pytest.raises(ValueError, match="from_arrays"):
        Ising(np.array([[1, 0]]), np.ones(1), np.zeros(2))
    with pytest.raises(ValueError, match="shapes"):
        Ising(np.array([[0, 1]]), np.ones(2), np.zeros(2))


def test_configurations_are_checked():
    model = Ising.square(2)
    with pytest.raises(ValueError, match="spins are"):
        model.energy([0, 1, 1, 1])
    with pytest.raises(ValueError, match="shape"):
        model.energy([1, 1, 1])
    with pytest.raises(ValueError, match="states are"):
        model.log_weight([1, 1, 1, -1])
    with pytest.raises(ValueError, match="shape"):
        model.log_weight([[1, 1, 1, 0]])


def test_describe_says_how_it_was_made():
    facts = Ising.square((3, 4), coupling="pm1", field=0.1, beta=0.5, seed=7, periodic=False).describe()
    assert facts["spec"] == "square:3x4,J=pm1,h=0.1,beta=0.5,seed=7,open"
    assert (facts["n"], facts["e"], facts["T"], facts["shape"]) == (12, 17, 2.0, (3, 4))
    given_values = Ising.chain(3, coupling=np.array([1.0, 2.0, 3.0])).describe()
    assert (given_values["coupling"], given_values["spec"]) == ("given", None)
    assert Ising.from_arrays(np.array([[0, 1]])).describe()["kind"] == "graph"
