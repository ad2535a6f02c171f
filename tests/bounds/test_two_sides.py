"""Mini-buckets, tangents and pairs: growth, certificates, zeros, refusals."""

import math

import numpy as np
import pytest

import calipers as cal
from calipers.core.iterate import iterate, log_z
from calipers.core.method import Limits, Refusal
from calipers.exact.enumeration import enumerate_all

GLASS = cal.Ising.square((8, 8), coupling="pm1", field="gauss:0.1", beta=1.0, seed=5)


@pytest.fixture(scope="module")
def truth():
    return log_z(GLASS, cal.Elimination()).value


def test_wider_buckets_are_tighter_and_end_exact(truth):
    gaps = [log_z(GLASS, cal.MiniBucket(ibound=i)).upper.value - truth for i in (2, 6, 10)]
    assert gaps[0] > gaps[1] > gaps[2] >= -1e-9
    assert log_z(GLASS, cal.MiniBucket(), gap=0.0).exact


def test_wider_blocks_are_tighter_and_end_at_log_z(truth):
    gaps = [truth - log_z(GLASS, cal.Tangent(width=w)).lower.value for w in (2, 6, 10)]
    assert gaps[0] > gaps[1] > gaps[2] >= -1e-9
    final = log_z(GLASS, cal.Tangent(), gap=0.0)
    assert final.lower.value == pytest.approx(truth, abs=1e-6)


def test_pairs_bound_magnets_and_refuse_the_rest(truth):
    answers = [a.upper.value for a in iterate(GLASS, cal.Pairs(), limits=Limits())]
    assert answers[0] > answers[-1] >= truth
    with pytest.raises(Refusal):
        log_z(GLASS.factor_graph(), cal.Pairs())


def test_pairs_step_compiles_once_for_models_of_one_shape():
    from calipers.bounds import pairs

    log_z(GLASS, cal.Pairs(steps=4))
    before = pairs._step._cache_size()  # type: ignore[attr-defined]
    other = cal.Ising.square((8, 8), coupling="gauss:1", field="gauss:0.7", beta=0.3, seed=9)
    log_z(other, cal.Pairs(steps=4))
    assert pairs._step._cache_size() == before  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", [cal.MiniBucket(ibound=3), cal.Tangent(width=3), cal.Pairs(), cal.Elimination()])
def test_certificates_of_magnets_with_fields_are_accepted(method, tmp_path):
    calipers_check = pytest.importorskip("calipers_check")
    magnet = cal.Ising.square((5, 5), coupling="pm1", field="gauss:0.5", beta=1.0, seed=2)
    path = tmp_path / "magnet.cert"
    cal.log_z(magnet, method).certificate.save(path)
    verdict = calipers_check.check(path)
    assert verdict.accepted, verdict.reason


@pytest.mark.parametrize("seed", range(8))
def test_hard_constraints_get_finite_true_certified_sides(seed, tmp_path):
    calipers_check = pytest.importorskip("calipers_check")
    rng = np.random.default_rng(seed)
    planted = rng.integers(0, 3, 9)
    factors = []
    for _ in range(16):
        scope = tuple(rng.permutation(9)[:3].tolist())
        table = np.where(rng.random((3, 3, 3)) < 0.5, 0.0, rng.random((3, 3, 3)))
        table[tuple(planted[list(scope)])] = 1.0
        factors.append((scope, table))
    graph = cal.FactorGraph.from_tables((3,) * 9, factors)
    expected = enumerate_all(graph)[0]
    for method in (cal.Tangent(width=4), cal.Tangent(width=6), cal.MiniBucket(ibound=4)):
        answer = cal.log_z(graph, method)
        assert answer.lower.value <= expected + 1e-9
        assert answer.upper.value >= expected - 1e-9
        assert math.isfinite(answer.lower.value if isinstance(method, cal.Tangent) else answer.upper.value)
        answer.certificate.save(tmp_path / "hard.cert")
        verdict = calipers_check.check(tmp_path / "hard.cert")
        assert verdict.accepted, verdict.reason


def test_auto_names_its_plan_and_brackets_what_it_cannot_solve():
    magnet = cal.Ising.square((30, 30), coupling="pm1", field="gauss:0.1", beta=1.0, seed=1)
    answer = cal.log_z(magnet, time_limit=3.0)
    assert math.isfinite(answer.gap)
    assert "elimination order" in str(answer.plan)


def test_auto_takes_large_magnets():
    magnet = cal.Ising.square((160, 160), beta=0.3, field="gauss:0.3", seed=1)
    answer = cal.log_z(magnet, time_limit=6.0)
    assert math.isfinite(answer.lower.value)
    assert math.isfinite(answer.upper.value)
