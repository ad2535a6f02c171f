"""Masks and probing: log Z unchanged, bounds no worse than truth, certificates followed by the checker."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import factor_graphs

import calipers as cal
from calipers.bounds.masks import with_masks
from calipers.bounds.sweeps import build_tree, optimised, prepare
from calipers.core.iterate import log_z
from calipers.core.method import Limits
from calipers.core.witness import Decomposition
from calipers.exact.enumeration import enumerate_all
from calipers.exact.probing import probed, sharpened
from calipers.models.factor_graph import FactorGraph
from calipers.models.reduction import as_reduced


def constraints(seed: int, density: float = 0.6) -> FactorGraph:
    """Fourteen ternary factors with many zeros around a planted configuration."""
    rng = np.random.default_rng(seed)
    planted, factors = rng.integers(0, 3, 9), []
    for _ in range(14):
        scope = tuple(rng.permutation(9)[:3].tolist())
        table = np.where(rng.random((3, 3, 3)) < density, 0.0, rng.random((3, 3, 3)))
        table[tuple(planted[list(scope)])] = 1.0
        factors.append((scope, table))
    return FactorGraph.from_tables((3,) * 9, factors)


@pytest.mark.parametrize("seed", range(6))
def test_masks_only_help_and_are_certified(seed, tmp_path):
    calipers_check = pytest.importorskip("calipers_check")
    graph = constraints(seed)
    reduced, truth = as_reduced(graph), enumerate_all(graph)[0]
    order = np.arange(reduced.model.n)
    masks = with_masks(reduced.model, build_tree(reduced, order, 4))[1]
    assert masks
    assert all(np.isin(m, [0.0, -math.inf]).all() for m in masks)
    plain = build_tree(reduced, order, 4).run(list(reduced.model.log_tables())).forward()
    masked = prepare(reduced, order, 4)
    assert masked.forward() <= plain + 1e-12
    assert optimised(masked, 5) + reduced.log_constant >= truth - 1e-9
    answer = cal.log_z(graph, cal.MiniBucket(ibound=4, orders=1))
    assert answer.upper.value >= truth - 1e-9
    answer.certificate.save(tmp_path / "masked.cert")
    verdict = calipers_check.check(tmp_path / "masked.cert")
    assert verdict.accepted, verdict.reason


def test_models_without_zeros_or_splits_get_no_masks():
    magnet = as_reduced(cal.Ising.square((3, 3), beta=1.0))
    assert with_masks(magnet.model, build_tree(magnet, np.arange(9), 1))[1] == []
    hard = as_reduced(constraints(0))
    assert with_masks(hard.model, build_tree(hard, np.arange(hard.model.n), 30))[1] == []


@settings(max_examples=80, deadline=None)
@given(factor_graphs())
def test_probing_changes_nothing(graph):
    truth = enumerate_all(graph)[0]
    for backbone in (False, True):
        reduced = probed(as_reduced(graph), 5.0, backbone)
        assert log_z(reduced, cal.Elimination()).value == pytest.approx(truth, abs=1e-9)


def pigeons(pigeon: int = 3) -> FactorGraph:
    """x_0 … x_{k−1} take different states of k; y forces x_0 = 0 or x_0 = 1 in ways that only a look ahead refutes."""
    different = np.where(np.eye(pigeon) > 0, 0.0, 1.0)
    factors = [((i, j), different) for i in range(pigeon) for j in range(i)]
    table = np.ones((pigeon, pigeon, 2))
    table[0, 1, :] = 0.0
    table[0, 2, 1] = 0.0
    table[:, :, 0][0, 2] = 0.0
    return FactorGraph.from_tables((pigeon,) * pigeon + (2,), [*factors, ((0, 1, pigeon), table)])


def test_a_failed_literal_is_dropped_and_the_checker_shaves_it_too(tmp_path):
    calipers_check = pytest.importorskip("calipers_check")
    graph = pigeons()
    plain, sharp = as_reduced(graph), sharpened(graph, Limits())
    assert len(plain.states[0]) == 3
    assert sharp.states[0].tolist() == [1, 2]  # x_0 = 0 leaves no state for x_1
    answer = cal.log_z(graph, cal.MiniBucket(ibound=6))
    assert answer.value == pytest.approx(enumerate_all(graph)[0], abs=1e-12)
    answer.certificate.save(tmp_path / "shaved.cert")
    verdict = calipers_check.check(tmp_path / "shaved.cert")
    assert verdict.accepted, verdict.reason


def test_the_checker_does_not_shave_what_is_possible(tmp_path):
    calipers_check = pytest.importorskip("calipers_check")
    graph = FactorGraph.from_tables((2, 2), [((0, 1), np.array([[1.0, 1.0], [1.0, 0.0]]))])
    answer = cal.log_z(graph, cal.MiniBucket(ibound=3))
    certificate = cal.Certificate.from_answer(answer, graph)
    upper = next(c for c in certificate.claims if c.side == "upper")
    assert isinstance(upper.witness, Decomposition)
    states = (np.array([0]), np.array([0, 1]))
    forged = upper.witness._replace(states=states, buckets=tuple(b for b in upper.witness.buckets if b.variable == 1))
    cal.Certificate(graph, (upper._replace(witness=forged),)).save(tmp_path / "forged.cert")
    verdict = calipers_check.check(tmp_path / "forged.cert")
    assert not verdict.accepted
    assert "drops" in verdict.reason
