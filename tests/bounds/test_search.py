"""Best-first search and clamping: true at every step, narrowing, exact at the end; flips; bounded memory."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import factor_graphs

import calipers as cal
from calipers.bounds.cutset import Conditioner, choose
from calipers.bounds.frontier import Frontier, needed
from calipers.bounds.search import unchanged_by_flips
from calipers.bounds.sweeps import optimised, prepare
from calipers.core.iterate import iterate, log_z
from calipers.core.method import Limits
from calipers.exact.enumeration import enumerate_all
from calipers.models.factor_graph import FactorGraph
from calipers.models.reduction import as_reduced

SEARCHES = [
    cal.Search(ibound=0, sweeps=2, orders=1),
    cal.Search(ibound=1, sweeps=4, orders=2),
    cal.Clamping(leaf_log2_size=1, upper=cal.MiniBucket(ibound=1, sweeps=2), lower=cal.Tangent(width=2, starts=1)),
    cal.Clamping(leaf_log2_size=3, upper=cal.MiniBucket(ibound=2, sweeps=2), lower=cal.Tangent(width=2, starts=1)),
]


@settings(max_examples=60, deadline=None)
@given(factor_graphs())
def test_every_answer_is_true_and_the_last_is_exact(graph):
    truth = enumerate_all(graph)[0]
    slack = 1e-9 * max(1.0, abs(truth)) if math.isfinite(truth) else 0.0
    for method in SEARCHES:
        for answer in method.answers(graph, method.plan(graph)):
            assert answer.lower.value <= truth + slack, (method, answer)
            assert answer.upper.value >= truth - slack, (method, answer)
        final = log_z(graph, method, gap=0.0)
        assert final.upper.value <= truth + 1e-7 or truth == -math.inf, (method, final)
        assert final.lower.value >= truth - 1e-7, (method, final)


@pytest.mark.parametrize("field", ["0", "gauss:0.2"])
@pytest.mark.parametrize("method", [cal.Search(ibound=2), cal.Clamping(leaf_log2_size=3)], ids=repr)
def test_magnets_with_and_without_field_close(method, field):
    glass = cal.from_spec(f"square:5x5,J=pm1,h={field},beta=1,seed=3")
    truth = log_z(glass, cal.Elimination()).value
    answers = list(iterate(glass, method, limits=Limits(gap=1e-3)))
    for before, after in itertools.pairwise(answers):
        assert before.lower.value <= after.lower.value <= after.upper.value <= before.upper.value
    assert answers[-1].gap <= 1e-3
    assert answers[-1].lower.value <= truth <= answers[-1].upper.value


def test_flips_are_seen_where_they_change_nothing_and_nowhere_else():
    magnet = cal.Ising.square((3, 3), coupling="pm1", beta=1.0, seed=1)
    every = np.ones(9, bool)
    assert unchanged_by_flips(as_reduced(magnet).model, every)
    tilted = cal.Ising.square((3, 3), coupling="pm1", field=1e-12, beta=1.0, seed=1)
    assert not unchanged_by_flips(as_reduced(tilted).model, every)
    assert not unchanged_by_flips(FactorGraph((3, 3), ((0, 1),), (np.zeros((3, 3)),)), np.ones(2, bool))


def test_memory_that_runs_out_costs_tightness_never_truth():
    glass = cal.Ising.square((5, 5), coupling="pm1", field="gauss:0.1", beta=1.0, seed=1)
    truth = log_z(glass, cal.Elimination()).value
    reduced = as_reduced(glass)
    run = prepare(reduced, np.arange(25), 2)
    bound = optimised(run, 5)
    frontier = Frontier(run, needed(run), bound, memory=1.0)
    last = bound + 1e-9
    for _ in range(60):
        frontier.grow(200)
        low, high = (x + reduced.log_constant for x in frontier.bracket())
        assert low <= truth <= high <= last + reduced.log_constant + 1e-6
        last = high - reduced.log_constant
    assert frontier.lost > -math.inf  # prefixes were given up
    assert frontier.open < len(frontier.prefixes.bound)


def test_a_domain_too_large_for_a_search_is_refused():
    graph = FactorGraph((300, 2), ((0, 1),), (np.random.default_rng(0).normal(size=(300, 2)),))
    run = prepare(as_reduced(graph), np.array([1, 0]), 4)
    with pytest.raises(ValueError, match="256"):
        Frontier(run, np.ones(2, bool), run.forward())


def test_parts_of_a_cutset_add_up():
    glass = as_reduced(cal.from_spec("regular:3,n=12,J=gauss:1,h=gauss:0.3,beta=1,seed=2")).model
    cut = choose(glass, 2, np.ones(glass.n))
    assert len(cut.variables) > 2
    conditioner = Conditioner(glass, cut)
    states = np.indices((2,) * len(cut.variables)).reshape(len(cut.variables), -1).T.astype(np.uint8)
    masses, lost = conditioner.log_masses(np.ascontiguousarray(states))
    assert np.logaddexp.reduce(masses) == pytest.approx(enumerate_all(glass)[0], abs=1e-10)
    assert (lost < masses - 500.0).all()
    clamped = glass.condition(dict(zip(cut.variables.tolist(), states[5].tolist(), strict=True)))
    assert masses[5] == pytest.approx(enumerate_all(clamped)[0], abs=1e-10)


def test_what_underflows_is_reported():
    """A chain whose tables span e^±300: linear arithmetic loses it, and says so."""
    steep = np.array([[0.0, -600.0], [-600.0, -1200.0]])
    graph = FactorGraph(
        (2,) * 4, ((0, 1), (1, 2), (2, 3), (0, 3)), (steep, -steep, steep, np.array([[-900.0, 0], [0, -3]]))
    )
    cut = choose(graph, 1, np.ones(graph.n))
    masses, lost = Conditioner(graph, cut).log_masses(
        np.indices((2,) * len(cut.variables)).reshape(len(cut.variables), -1).T.astype(np.uint8).copy()
    )
    truth = enumerate_all(graph)[0]
    assert np.logaddexp.reduce(masses) <= truth + 1e-9
    assert np.logaddexp.reduce(np.logaddexp(masses, lost)) >= truth - 1e-9


@pytest.mark.parametrize("bad", [{"leaf_log2_size": 0}, {"upper": cal.MiniBucket()}])
def test_clamping_refuses_what_would_not_do(bad):
    with pytest.raises(ValueError, match=r"leaf_log2_size|ibound"):
        cal.Clamping(**bad)


@pytest.mark.parametrize("field", ["0", "gauss:0.2"])
def test_clamped_sides_are_certified_done_or_not(field, tmp_path):
    calipers_check = pytest.importorskip("calipers_check")
    glass = cal.from_spec(f"square:4x4,J=pm1,h={field},beta=1,seed=3")
    method = cal.Clamping(leaf_log2_size=2, upper=cal.MiniBucket(ibound=2), lower=cal.Tangent(width=1, sweeps=1))
    for gap in (0.0, 3.0):
        answer = cal.log_z(glass, method, gap=gap)
        assert "Clamping" in answer.lower.method
        answer.certificate.save(tmp_path / "clamped.cert")
        verdict = calipers_check.check(tmp_path / "clamped.cert")
        assert verdict.accepted, verdict.reason
        assert "lower" in {claim.side for claim in verdict.claims}
        assert field == "0" or {claim.side for claim in verdict.claims} == {"lower", "upper"}


def test_clamped_parts_of_a_model_with_zeros_are_certified_below(tmp_path):
    calipers_check = pytest.importorskip("calipers_check")
    rng = np.random.default_rng(4)
    factors = [((i, (i + 1) % 9, (i + 4) % 9), (rng.random((2, 2, 2)) < 0.8) * rng.random((2, 2, 2))) for i in range(9)]
    graph = FactorGraph.from_tables((2,) * 9, factors)
    answer = cal.log_z(graph, cal.Clamping(leaf_log2_size=2, upper=cal.MiniBucket(ibound=2)), gap=0.0)
    assert answer.lower.value <= enumerate_all(graph)[0] <= answer.upper.value
    answer.certificate.save(tmp_path / "parts.cert")
    verdict = calipers_check.check(tmp_path / "parts.cert")
    assert verdict.accepted, verdict.reason
