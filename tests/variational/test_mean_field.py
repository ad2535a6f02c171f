import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipers.core.answer import Grounds, Result
from calipers.core.iterate import iterate, log_z
from calipers.core.method import Limits, Proves, Refusal
from calipers.exact.enumeration import Enumeration
from calipers.io.certificate import Certificate
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.variational.mean_field import MeanField

SEEDS = st.integers(0, 2**32 - 1)
FEW = MeanField(starts=4, max_sweeps=50)


def exact(model):
    return log_z(model, Enumeration()).value


@given(SEEDS)
def test_every_answer_is_a_lower_bound_zeros_included(random_graph, seed):
    model = random_graph(seed)
    truth = exact(model)
    for answer in iterate(model, MeanField(starts=5, max_sweeps=3), limits=Limits(gap=-1.0)):
        assert answer.lower.value <= truth + 1e-12 * abs(truth) or truth == answer.lower.value
    assert (answer.lower.value == -math.inf) == (truth == -math.inf)
    if truth == -math.inf:
        assert answer.grounds == (Grounds.EXACT, Grounds.EXACT)
        assert answer.result is Result.EXACT
    else:
        assert answer.grounds == (Grounds.COMPUTED, Grounds.NONE)


@given(SEEDS)
def test_both_engines_bound_magnets(random_magnet, seed):
    model = random_magnet(seed)
    truth = exact(model)
    for form in (model, model.factor_graph()):
        answer = log_z(form, FEW, gap=-1.0)
        assert -math.inf < answer.lower.value <= truth + 1e-12 * abs(truth)


@given(SEEDS)
def test_the_checker_proves_the_claim_from_the_witness(tmp_path_factory, random_graph, seed):
    model = random_graph(seed)
    check = pytest.importorskip("calipers_check").check
    answer = log_z(model, MeanField(starts=3, max_sweeps=5), gap=-1.0)
    if math.isfinite(answer.lower.value):
        path = tmp_path_factory.mktemp("certificate") / "bound.cert"
        Certificate.from_answer(answer, model).save(path)
        verdict = check(path)
        assert verdict.accepted, verdict.reason
        proved = {claim.side: claim.proved for claim in verdict.claims}["lower"]
        assert proved == pytest.approx(answer.lower.value, rel=1e-11, abs=1e-11)


@given(SEEDS)
def test_the_checker_proves_the_claims_about_magnets(tmp_path_factory, random_magnet, seed):
    model = random_magnet(seed)
    check = pytest.importorskip("calipers_check").check
    path = tmp_path_factory.mktemp("certificate") / "bound.cert"
    Certificate.from_answer(log_z(model, FEW, gap=-1.0), model).save(path)
    assert check(path).accepted


@given(SEEDS, st.floats(-50, 50))
def test_a_constant_shifts_the_bound(random_graph, seed, shift):
    model = random_graph(seed, zeros=False)
    shifted = FactorGraph(model.sizes, (*model.scopes, ()), (*model.tables, np.array(shift)), model.evidence)
    gain = log_z(shifted, FEW, gap=-1.0).lower.value - log_z(model, FEW, gap=-1.0).lower.value
    assert gain == pytest.approx(shift, abs=1e-9)


@given(SEEDS, st.integers(0, 255))
def test_a_gauge_flip_leaves_the_bound(random_magnet, seed, bits):
    model = random_magnet(seed)
    flip = np.where(bits >> np.arange(model.n) & 1, -1.0, 1.0)
    i, j = model.edges.T
    flipped = Ising(model.edges, model.couplings * flip[i] * flip[j], model.fields * flip, model.beta, model.offset)
    free = MeanField(starts=1, tolerance=0.0, max_sweeps=300)  # the free start is its own mirror image
    assert log_z(flipped, free, gap=-1.0).lower.value == pytest.approx(
        log_z(model, free, gap=-1.0).lower.value, abs=1e-9
    )


def test_it_is_exact_for_independent_spins():
    model = Ising.from_arrays(np.zeros((0, 2), np.int64), 1.0, np.array([0.3, -2.0, 400.0]), beta=2.0)
    answer = log_z(model, MeanField(), beliefs=True)
    truth = sum(np.logaddexp(2.0 * h, -2.0 * h) for h in model.fields)
    assert answer.lower.value == pytest.approx(truth, rel=1e-14)
    assert answer.lower.value <= truth
    up = 1.0 / (1.0 + np.exp(-4.0 * model.fields))
    assert np.array(answer.belief.marginals)[:, 0] == pytest.approx(up, abs=1e-15)


def test_it_finds_the_ordered_state_of_a_cold_ferromagnet():
    model = Ising.square(8, beta=2.0)
    assert log_z(model, MeanField(), gap=0.0).lower.value == pytest.approx(2 * 64 * 2.0, abs=1e-3)


def test_hard_factors_leave_what_support_they_can():
    """x0 = x1 and x1 = x2, x3 free: three equal variables can only be clamped, the fourth is exact."""
    equal = np.eye(2)
    model = FactorGraph.from_tables(
        (2, 2, 2, 3),
        [((0, 1), equal), ((1, 2), equal), ((2,), np.array([1.0, 3.0])), ((3,), np.array([1.0, 2.0, 4.0]))],
    )
    answer = log_z(model, MeanField(), gap=-1.0, beliefs=True)
    assert answer.lower.value == pytest.approx(math.log(3.0 * 7.0), abs=1e-12)
    assert answer.belief.marginals[3] == pytest.approx(np.array([1, 2, 4]) / 7)
    assert [np.argmax(p) for p in answer.belief.marginals[:3]] == [1, 1, 1]


def test_a_contradiction_that_only_search_finds_is_exact():
    """Three variables of two states, pairwise different: arc consistent, yet impossible."""
    model = FactorGraph.from_tables((2, 2, 2), [(s, 1.0 - np.eye(2)) for s in ((0, 1), (1, 2), (0, 2))])
    answer = log_z(model, MeanField())
    assert (answer.lower.value, answer.upper.value, answer.result) == (-math.inf, -math.inf, Result.EXACT)


def test_published_error_on_sherrington_kirkpatrick():
    """Mean |error| of log Z/N over 40 instances of N = 16: .057 at β = .5, .112 at β = 1 (docs of the references)."""
    errors = {beta: [] for beta in (0.5, 1.0)}
    for beta, seed in [(b, s) for b in errors for s in range(40)]:
        model = Ising.sherrington_kirkpatrick(16, beta=beta, seed=seed)
        errors[beta].append((exact(model) - log_z(model, MeanField(), gap=0.0).lower.value) / 16)
    assert np.mean(errors[0.5]) == pytest.approx(0.057, abs=0.006)
    assert np.mean(errors[1.0]) == pytest.approx(0.112, abs=0.015)


def test_what_it_says_of_itself():
    assert MeanField.proves is Proves.LOWER
    assert eval(repr(MeanField(starts=3))) == MeanField(starts=3)
    model = Ising.square(4, beta=0.3)
    assert log_z(model, MeanField()).lower.method == repr(MeanField())
    assert "16 spins" in str(MeanField().plan(model))
    with pytest.raises(Refusal, match="GB"):
        MeanField().plan(model, Limits(memory=10.0))
    with pytest.raises(ValueError, match="starts"):
        MeanField(starts=0)
    with pytest.raises(ValueError, match="tolerance"):
        MeanField(tolerance=math.nan)


def test_a_key_varies_the_starts_and_nothing_else():
    import jax

    model = Ising.sherrington_kirkpatrick(40, beta=2.0, seed=1)
    values = {log_z(model, MeanField(starts=4), gap=0.0, key=jax.random.key(k)).lower.value for k in (1, 1, 2)}
    assert len(values) <= 2
    assert log_z(model, MeanField(), gap=0.0).lower.value == log_z(model, MeanField(), gap=0.0).lower.value
