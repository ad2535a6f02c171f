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
from calipers.bounds.mini_bucket import snapshot
from calipers.bounds.search import unchanged_by_flips
from calipers.bounds.search_witness import Searched, search_witness
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


def test_what_linear_arithmetic_cannot_hold_is_summed_in_logs():
    """A ring whose tables span e^±1200."""
    steep = np.array([[0.0, -600.0], [-600.0, -1200.0]])
    last = np.array([[-900.0, 0], [0, -3]])
    graph = FactorGraph((2,) * 4, ((0, 1), (1, 2), (2, 3), (0, 3)), (steep, -steep, steep, last))
    cut = choose(graph, 1, np.ones(graph.n))
    states = np.indices((2,) * len(cut.variables)).reshape(len(cut.variables), -1).T.astype(np.uint8)
    masses, lost = Conditioner(graph, cut).log_masses(np.ascontiguousarray(states))
    assert np.logaddexp.reduce(masses) == pytest.approx(enumerate_all(graph)[0], abs=1e-9)
    assert (lost < masses - 30.0).all()


@pytest.mark.parametrize("bad", [{"leaf_log2_size": 0}, {"upper": cal.MiniBucket()}])
def test_clamping_refuses_what_would_not_do(bad):
    with pytest.raises(ValueError, match=r"leaf_log2_size|ibound"):
        cal.Clamping(**bad)


CLAMPING = cal.Clamping(leaf_log2_size=2, upper=cal.MiniBucket(ibound=2), lower=cal.Tangent(width=1, sweeps=1))


def certified(answer, model, folder):
    """What the checker proves of both sides as a search or clamping left them; the claims must be its own."""
    calipers_check = pytest.importorskip("calipers_check")
    certificate = cal.Certificate.from_answer(answer, model)
    assert {claim.kind for claim in certificate.claims} == {"search"}
    certificate.save(folder / "search.cert")
    verdict = calipers_check.check(folder / "search.cert")
    assert verdict.accepted, verdict.reason
    low, high = (claim.proved for claim in verdict.claims)
    assert low == pytest.approx(answer.lower.value, abs=1e-8)  # not looser, either
    assert high == pytest.approx(answer.upper.value, abs=1e-8)
    return low, high


@pytest.mark.parametrize("field", ["0", "gauss:0.2"])
@pytest.mark.parametrize("method", [CLAMPING, cal.Search(ibound=1, sweeps=2, orders=1)], ids=["clamping", "search"])
def test_sides_are_certified_closed_and_open_halved_and_not(field, method, tmp_path):
    glass = cal.from_spec(f"square:4x4,J=pm1,h={field},beta=1,seed=3")
    truth = log_z(glass, cal.Elimination()).value
    low, high = certified(cal.log_z(glass, method, gap=0.0), glass, tmp_path)
    assert truth - 1e-9 < low <= high < truth + 1e-9


@pytest.mark.parametrize("field", ["0", "gauss:0.2"])
def test_open_prefixes_are_certified(field, tmp_path, monkeypatch):
    monkeypatch.setattr("calipers.bounds.clamping._EXPANSIONS", 40)
    monkeypatch.setattr("calipers.bounds.search._EXPANSIONS", 40)
    glass = cal.from_spec(f"square:5x5,J=pm1,h={field},beta=1,seed=3")
    truth = log_z(glass, cal.Elimination()).value
    for method in (CLAMPING, cal.Search(ibound=1, sweeps=2, orders=1)):
        answers = [a for a in itertools.islice(method.answers(glass, method.plan(glass)), 12) if a.stats.get("open")]
        assert answers
        for answer in answers[:: max(1, len(answers) // 3)]:
            if answer.lower.witness is not None:
                low, high = certified(answer, glass, tmp_path)
                assert low < truth < high


def zeros_and_domains(n=9, states=3):
    rng = np.random.default_rng(4)
    scopes = [(i, (i + 1) % n, (i + 4) % n) for i in range(n)]
    shape = (states,) * 3
    return FactorGraph.from_tables((states,) * n, [(s, (rng.random(shape) < 0.7) * rng.random(shape)) for s in scopes])


@pytest.mark.parametrize("method", [CLAMPING, cal.Search(ibound=1, sweeps=2, orders=1)], ids=["clamping", "search"])
def test_zeros_and_domains_of_three_are_certified_on_both_sides(method, tmp_path):
    graph = zeros_and_domains()
    truth = enumerate_all(graph)[0]
    low, high = certified(cal.log_z(graph, method, gap=0.0), graph, tmp_path)
    assert truth - 1e-9 < low <= high < truth + 1e-9


def test_several_components_are_certified(tmp_path):
    """Two glasses and a chain: a search has a tree for each glass; clamping has a witness if one of them is clamped."""
    edges = [(i, j) for a in (0, 5) for i in range(a, a + 5) for j in range(i + 1, a + 5)]
    J = np.random.default_rng(1).normal(size=len(edges))
    two = cal.Ising.from_arrays(np.array([*edges, (10, 11), (11, 12)]), np.append(J, [1.0, -0.5]), np.zeros(13))
    truth = enumerate_all(two.factor_graph())[0]
    search = cal.Search(ibound=1, sweeps=2, orders=1)
    low, high = certified(cal.log_z(two, search, gap=0.0), two, tmp_path)
    assert truth - 1e-9 < low <= high < truth + 1e-9
    one = cal.Ising.from_arrays(
        np.array([*edges[:10], (10, 11), (11, 12)]), np.append(J[:10], [1.0, -0.5]), np.zeros(13)
    )
    answer = cal.log_z(one, cal.Clamping(leaf_log2_size=3, upper=cal.MiniBucket(ibound=1)), gap=0.0)
    certified(answer, one, tmp_path)
    several = cal.log_z(two, cal.Clamping(leaf_log2_size=3, upper=cal.MiniBucket(ibound=1)), gap=0.0)
    assert several.exact
    assert several.lower.witness is None


def test_a_symmetry_that_only_the_reduced_model_has_leaves_no_witness():
    """Fields that cancel between two factors: the merged table is symmetric, the factors are not."""
    scopes = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    tables = [0.25 * (k + 1) * np.array([[1.0, -1.0], [-1.0, 1.0]]) for k in range(len(scopes))]
    tilted = FactorGraph((2,) * 5, (*scopes, (0,), (0,)), (*tables, np.array([0.5, -0.5]), np.array([-0.5, 0.5])))
    plain = FactorGraph((2,) * 5, tuple(scopes), tuple(tables))
    answers = {}
    for name, graph in (("tilted", tilted), ("plain", plain)):
        answers[name] = cal.log_z(graph, cal.Search(ibound=1, sweeps=2, orders=1), gap=0.0)
        assert answers[name].exact
    assert answers["tilted"].lower.witness() is None
    assert answers["plain"].lower.witness() is not None


def test_prefixes_that_were_given_up_leave_no_witness():
    glass = cal.Ising.square((5, 5), coupling="pm1", field="gauss:0.1", beta=1.0, seed=1)
    reduced = as_reduced(glass)
    run = prepare(reduced, np.arange(25), 2)
    frontier = Frontier(run, needed(run), optimised(run, 5), memory=1.0)
    searched = [Searched(frontier, np.zeros(0, np.int64))]
    assert search_witness(reduced, searched, snapshot(reduced, run)) is not None
    while not frontier.gave_up:
        frontier.grow(200)
    assert search_witness(reduced, searched, snapshot(reduced, run)) is None
