import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipers.core.answer import Grounds, Result
from calipers.core.iterate import log_z
from calipers.core.method import Proves
from calipers.exact.elimination import Elimination
from calipers.exact.enumeration import Enumeration
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.variational import bethe
from calipers.variational.bethe import Bethe

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def trees(draw):
    """A random forest of tables with zeros, one factor a bond, and unaries."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = int(random.integers(1, 8))
    sizes = random.integers(2, 4, n)
    pairs = [(int(random.integers(v)), v) for v in range(1, n) if random.random() < 0.9]
    factors = [(s, np.exp(random.normal(0, 3, [sizes[v] for v in s]))) for s in [*pairs, *((v,) for v in range(n))]]
    holes = float(random.choice([0.0, 0.15]))
    return FactorGraph.from_tables(sizes, [(s, np.where(random.random(t.shape) < holes, 0, t)) for s, t in factors])


@given(trees())
def test_a_forest_is_exact(model):
    answer, truth = log_z(model, Bethe(), beliefs=True), log_z(model, Enumeration(), beliefs=True)
    assert answer.exact
    if truth.value == -math.inf:
        assert answer.value == -math.inf
        return
    assert answer.value == pytest.approx(truth.value, abs=1e-12, rel=1e-12)
    assert answer.lower.value <= truth.value <= answer.upper.value
    assert answer.gap < 1e-11
    for got, want in zip(answer.belief.marginals, truth.belief.marginals, strict=True):
        assert got == pytest.approx(want, abs=1e-12)
    if answer.belief.grounds is Grounds.EXACT:
        for got, want in zip(answer.belief.factors, truth.belief.factors, strict=True):
            assert got == pytest.approx(want, abs=1e-12)


def test_a_long_chain_is_exact():
    model = Ising.chain(3000, periodic=False, coupling="gauss:1", field="gauss:1", beta=0.7, seed=3)
    answer, truth = log_z(model, Bethe()), log_z(model, Elimination())
    assert answer.exact
    assert answer.value == pytest.approx(truth.value, rel=1e-13)
    assert answer.gap < 1e-8


@given(SEEDS)
def test_loopy_values_are_labelled_estimates(random_graph, seed):
    model = random_graph(seed)
    answer = log_z(model, Bethe(max_sweeps=200))
    if answer.exact:
        truth = log_z(model, Enumeration()).value
        assert answer.value == pytest.approx(truth, abs=1e-10) or answer.value == truth
    else:
        assert answer.grounds == (Grounds.NONE, Grounds.NONE)
        assert answer.result in (Result.EXHAUSTED, Result.UNCONVERGED)
        assert (answer.result is Result.UNCONVERGED) != answer.stats["converged"]


@given(SEEDS)
def test_the_two_engines_agree_where_they_converge(random_magnet, seed):
    model = random_magnet(seed)
    if not model.e or not model.beta:
        return
    from calipers.variational.ising_messages import fits

    if not fits(model.edges, model.beta * model.couplings, model.beta * model.fields):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bethe, "_LARGE", 1)
        magnet = log_z(model, Bethe(), beliefs=True)
    general = log_z(model.factor_graph(), Bethe(), beliefs=True)
    if magnet.stats["converged"] and general.stats["converged"] and model.beta <= 0.3:  # one fixed point
        assert magnet.value == pytest.approx(general.value, abs=1e-8)
        for got, want in zip(magnet.belief.marginals, general.belief.marginals, strict=True):
            assert got == pytest.approx(want, abs=1e-7)


def test_a_regular_lattice_has_the_bethe_lattice_s_magnetization_and_free_energy():
    from calipers.variational.self_consistency import bethe_magnetization

    model = Ising.square(6, field=0.2, beta=1 / 2.5)
    answer = log_z(model, Bethe(), beliefs=True)
    m = bethe_magnetization(4, 1.0, 2.5, 0.2)
    assert np.array(answer.belief.marginals)[:, 0] == pytest.approx(np.full(36, (1 + m) / 2), abs=1e-8)


def test_without_convergence_it_says_so_and_keeps_the_value():
    model = Ising.sherrington_kirkpatrick(30, beta=3.0, seed=2)
    answer = log_z(model, Bethe(max_sweeps=20))
    assert answer.result is Result.UNCONVERGED
    assert math.isfinite(answer.value)
    assert not answer.stats["converged"]


def test_published_error_on_sherrington_kirkpatrick():
    """Mean |error| of log Z/N over 40 instances of N = 16: .0020 at β = .5, .018 at β = 1."""
    errors = {beta: [] for beta in (0.5, 1.0)}
    for beta, seed in [(b, s) for b in errors for s in range(40)]:
        model = Ising.sherrington_kirkpatrick(16, beta=beta, seed=seed)
        errors[beta].append(abs(log_z(model, Enumeration()).value - log_z(model, Bethe(damping=0.5)).value) / 16)
    assert np.mean(errors[0.5]) == pytest.approx(0.0020, abs=0.0008)
    assert np.mean(errors[1.0]) == pytest.approx(0.018, abs=0.006)


@given(SEEDS, st.integers(0, 255))
def test_a_gauge_flip_leaves_the_value(random_magnet, seed, bits):
    model = random_magnet(seed)
    model = Ising(model.edges, model.couplings, model.fields, 0.3, model.offset)  # hot: one fixed point
    flip = np.where(bits >> np.arange(model.n) & 1, -1.0, 1.0)
    i, j = model.edges.T
    flipped = Ising(model.edges, model.couplings * flip[i] * flip[j], model.fields * flip, model.beta, model.offset)
    values = [log_z(m, Bethe()) for m in (model, flipped)]
    assert all(a.stats["converged"] for a in values)
    assert values[0].value == pytest.approx(values[1].value, abs=1e-9)


def test_an_unstable_symmetric_fixed_point_is_left():
    """Below the Bethe lattice's T_c = 2.885 a ferromagnet without a field has the spontaneous magnetization."""
    from calipers.variational.self_consistency import bethe_magnetization

    answer = log_z(Ising.square(8, beta=1 / 2.5), Bethe(), beliefs=True)
    m = [p[0] - p[1] for p in answer.belief.marginals]
    assert m == pytest.approx(np.full(64, bethe_magnetization(4, 1.0, 2.5)), abs=1e-7)


def test_what_it_says_of_itself():
    assert Bethe.proves is Proves.NOTHING
    assert eval(repr(Bethe(damping=0.1))) == Bethe(damping=0.1)
    assert "forest" in str(Bethe().plan(Ising.chain(5, periodic=False)))
    assert "estimate" in str(Bethe().plan(Ising.chain(5)))
    with pytest.raises(ValueError, match="damping"):
        Bethe(damping=1.0)


@pytest.mark.slow
def test_a_million_spins():
    model = Ising.square(1000, field="gauss:0.3", beta=0.3)
    answer = log_z(model, Bethe(), time_limit=120.0)
    assert answer.stats["converged"]
