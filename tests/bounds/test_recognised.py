"""Magnets inside factor graphs: bounds and certificates about the file's own factors, wherever they keep the fields."""

import math

import numpy as np
import pytest

import calipers as cal
from calipers.bounds.recognised import about_whole
from calipers.core.answer import Answer
from calipers.core.method import Limits, Refusal
from calipers.exact.enumeration import enumerate_all
from calipers.io.uai import read_uai
from calipers.io.uai_writer import write_uai
from calipers.models.factor_graph import FactorGraph
from calipers.models.recognition import as_ising, on_grid
from calipers.models.reduction import as_reduced
from calipers_check import check

METHODS = [
    cal.Strips(width=3, steps=3),
    cal.Strips(width=9, steps=0),
    cal.StructuredMeanField(width=2, starts=1),
    cal.RegionBethe(width=1),
    cal.RegionBethe(width=3),
    cal.LogDeterminant(steps=4),
]


def graph_of(seed, coupling, repeated=False):
    """A 3 × 4 magnet whose pair tables hold fields, in any order; some fields apart; a free variable; constants."""
    rng = np.random.default_rng(seed)
    graph = cal.Ising.square(
        (3, 4), coupling=coupling, field="gauss:0.5", beta=0.8, periodic=bool(seed % 3)
    ).factor_graph()
    scopes, tables = [(12,), ()], [np.zeros(3), np.array(0.7)]
    for scope, table in zip(graph.scopes, graph.tables, strict=True):
        own = np.asarray(table)
        if len(scope) == 2:
            own = own + rng.normal(size=2)[:, None] + rng.normal(size=2)
            scope, own = (scope[::-1], own.T) if rng.random() < 0.5 else (scope, own)
        scopes.append(scope)
        tables.append(own)
        if repeated and rng.random() < 0.3:
            scopes.append(scope)
            tables.append(0.1 * own)
    return FactorGraph((2,) * 12 + (3,), tuple(scopes), tuple(tables))


def answers_about(graph, method):
    reduced = as_reduced(graph)
    magnet = on_grid(as_ising(reduced.model))
    best = Answer()
    for answer in about_whole(method.answers(magnet, method.plan(magnet, Limits())), reduced, magnet):
        best = best & answer
    return best


def test_nothing_is_said_of_what_propagation_has_emptied():
    graph = graph_of(0, "0.5")
    empty = FactorGraph(graph.sizes, (*graph.scopes, ()), (*graph.tables, np.array(-math.inf)))
    answer = answers_about(empty, cal.StructuredMeanField(width=2, starts=1))
    assert (answer.lower.value, answer.upper.value) == (-math.inf, math.inf)


@pytest.mark.parametrize("observed", [{}, {2: 1, 7: 0}], ids=["whole", "evidence"])
@pytest.mark.parametrize("coupling", ["0.5", "-0.5", "gauss:1"])
def test_sides_are_true_and_certified_for_the_file(coupling, observed, tmp_path):
    write_uai(graph_of(len(observed), coupling), tmp_path / "m.uai")
    graph = read_uai(tmp_path / "m.uai").condition(observed)
    truth, taken = enumerate_all(graph)[0], set()
    for method in METHODS:
        try:
            answer = answers_about(graph, method)
        except Refusal:
            continue
        taken.add(type(method).__name__)
        assert answer.lower.value <= truth <= answer.upper.value
        cal.Certificate.from_answer(answer, graph).save(tmp_path / "a.cert")
        evidence = ",".join(f"{v}={x}" for v, x in observed.items()) or None
        verdict = check(tmp_path / "a.cert", model=tmp_path / "m.uai", evidence=evidence)
        assert verdict.accepted, (method, verdict.reason)
        sides = [s.value for s in (answer.lower, answer.upper) if math.isfinite(s.value)]
        assert [c.proved for c in verdict.claims] == pytest.approx(sides, abs=1e-8)
    assert {"StructuredMeanField", "LogDeterminant"} <= taken
    assert ("RegionBethe" in taken) == (coupling == "0.5" or (coupling == "-0.5" and not observed))  # else frustrated


def test_two_factors_of_one_pair(tmp_path):
    """Pseudo-marginals of such pairs have no witness; everything else has."""
    graph = graph_of(1, "0.5", repeated=True)
    for method in METHODS:
        answer = answers_about(graph, method)
        if isinstance(method, cal.RegionBethe):
            assert answer.lower.witness() is None
            continue
        cal.Certificate.from_answer(answer, graph).save(tmp_path / "a.cert")
        verdict = check(tmp_path / "a.cert")
        assert verdict.accepted, (method, verdict.reason)


def test_what_auto_says_of_a_file_is_certified(tmp_path):
    """Too wide to be eliminated within the tables allowed, so that bounds are what is left."""
    magnet = cal.Ising.square((12, 12), coupling="gauss:1", field="gauss:0.5", beta=1.0, seed=1)
    write_uai(magnet, tmp_path / "m.uai")
    graph = read_uai(tmp_path / "m.uai")
    answer = cal.log_z(graph, time_limit=6.0, memory=1e5)
    for side, proved in zip(answer.deterministic, answer.provable, strict=True):
        assert side == proved or side.method == "Elimination()"  # slices summed so far leave no witness
    answer.certificate.save(tmp_path / "a.cert")
    verdict = check(tmp_path / "a.cert", model=tmp_path / "m.uai")
    assert verdict.accepted, verdict.reason
