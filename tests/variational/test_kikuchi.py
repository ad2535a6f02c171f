import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import calipers as cal
from calipers.core.answer import Grounds, Result
from calipers.core.method import Limits
from calipers.models.reduction import as_reduced
from calipers.variational import kikuchi_regions
from calipers.variational.kikuchi_regions import region_graph, relevant_cycles

GLASS = "square:6x6,open,J=pm1,h=gauss:0.2,beta=0.8,seed=1"


def exact(model):
    return cal.log_z(model, cal.Elimination(), beliefs=True)


def errors(answer, truth):
    pairs = zip(answer.belief.marginals, truth.belief.marginals, strict=True)
    return np.array([np.abs(got - want).max() for got, want in pairs])


def test_plaquettes_are_the_relevant_cycles_of_a_square_lattice():
    model = cal.from_spec("square:4x5,open")
    scopes = [tuple(sorted(edge)) for edge in model.edges.tolist()]
    found = list(relevant_cycles(model.n, scopes, 8))
    assert sorted(map(len, found)) == [4] * 12


def test_a_complete_graph_gets_the_triangles_at_one_variable():
    scopes = [(i, j) for j in range(8) for i in range(j)]
    found = list(relevant_cycles(8, scopes, 4))
    assert len(found) == 21
    assert all(0 in cycle for cycle in found)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_every_variable_counts_once(random_graph, seed, loop):
    reduced = as_reduced(random_graph(seed))
    model = reduced.model
    graph = region_graph(model.sizes, model.scopes, loop)
    for v in range(len(model.sizes)):
        inner = sum(c for c, s in zip(graph.counting, graph.inner, strict=True) if v in s)
        assert sum(v in s for s in graph.outer) + inner == 1


def test_a_ladder_of_plaquettes_is_a_junction_tree_and_so_exact():
    model = cal.from_spec("square:2x7,open,J=pm1,h=gauss:0.5,beta=1,seed=2")
    answer, truth = cal.log_z(model, cal.Kikuchi(), beliefs=True), exact(model)
    assert answer.value == pytest.approx(truth.value, abs=1e-6)
    assert errors(answer, truth).max() < 1e-6
    for got, want in zip(answer.belief.factors, truth.belief.factors, strict=True):
        assert got == pytest.approx(want, abs=1e-6)


def test_without_cycles_it_is_bethe():
    model = cal.from_spec("square:5x5,open,J=pm1,h=gauss:0.3,beta=0.4,seed=3")
    ours, theirs = cal.log_z(model, cal.Kikuchi(loop=2), beliefs=True), cal.log_z(model, cal.Bethe(), beliefs=True)
    assert ours.stats["converged"]
    assert ours.value == pytest.approx(theirs.value, abs=1e-5)
    assert errors(ours, theirs).max() < 1e-5


@pytest.mark.parametrize("kind", ["square:6x6,open", "triangular:5x5"])
def test_loops_improve_on_bethe(kind):
    """On average over five glasses, both the error of log Z and that of the marginals fall to a fifth."""
    off = np.zeros((5, 2, 2))
    for seed in range(5):
        model = cal.from_spec(f"{kind},J=pm1,h=gauss:0.3,beta=0.4,seed={seed}")
        truth = exact(model)
        for k, method in enumerate((cal.Kikuchi(), cal.Bethe())):
            answer = cal.log_z(model, method, beliefs=True)
            assert answer.stats["converged"]
            off[seed, k] = abs(answer.value - truth.value), errors(answer, truth).mean()
    ours, theirs = off.mean(0)
    assert (ours < 0.2 * theirs).all()


def test_it_is_an_estimate():
    answer = cal.log_z(cal.from_spec(GLASS), cal.Kikuchi(), beliefs=True)
    assert (answer.lower.value, answer.upper.value) == (-math.inf, math.inf)
    assert answer.belief.grounds is Grounds.NONE


def test_too_few_sweeps_are_said():
    answer = cal.log_z(cal.from_spec(GLASS), cal.Kikuchi(max_sweeps=3))
    assert answer.result is Result.UNCONVERGED
    assert not answer.stats["converged"]


def test_zeros_stay_zero():
    """Three colours on a ladder: neighbours differ, one corner is given."""
    edges = [tuple(sorted(e)) for e in cal.from_spec("square:2x5,open").edges.tolist()]
    tables = [(edge, 1.0 - np.eye(3)) for edge in edges]
    model = cal.FactorGraph.from_tables([3] * 10, [*tables, ((4,), np.array([1.0, 2.0, 5.0]))]).condition({0: 1})
    answer, truth = cal.log_z(model, cal.Kikuchi(), beliefs=True), exact(model)
    assert answer.value == pytest.approx(truth.value, abs=1e-6)
    assert errors(answer, truth).max() < 1e-6


def test_what_it_refuses(monkeypatch):
    with pytest.raises(cal.Refusal, match="GB"):
        cal.Kikuchi().plan(cal.from_spec("square:6x6"), Limits(memory=1000.0))
    monkeypatch.setattr(kikuchi_regions, "_MOST", 30)
    with pytest.raises(cal.Refusal, match="more than 30 cycles; give Kikuchi a smaller loop"):
        cal.Kikuchi().plan(cal.from_spec("square:6x6"))
    with pytest.raises(ValueError, match="loop is 1"):
        cal.Kikuchi(loop=1)
    with pytest.raises(ValueError, match="max_sweeps"):
        cal.Kikuchi(max_sweeps=0)
