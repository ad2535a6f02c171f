"""Structured mean field and region-Bethe: below log Z, exact when nothing is left over, certified; gauges; refusals."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import magnets

import calipers as cal
from calipers.bounds.blocks import Blocks
from calipers.bounds.cover_blocks import blocks_of
from calipers.bounds.region_bethe import bethe
from calipers.bounds.structured_mean_field import gibbs
from calipers.core.iterate import iterate, log_z
from calipers.core.method import Limits, Refusal
from calipers.exact.enumeration import enumerate_all
from calipers.models.gauge import ferromagnetic_signs, turned

CRITICAL = 0.5 * np.log(1 + 2**0.5)


@settings(max_examples=80, deadline=None)
@given(magnets(), st.integers(1, 4), st.integers(0, 2**31))
def test_any_fields_bound_log_z(magnet, width, seed):
    truth = enumerate_all(magnet.factor_graph())[0]
    rng = np.random.default_rng(seed)
    extra = rng.normal(scale=rng.choice([0.0, 0.5, 5.0]), size=magnet.n)
    blocks = Blocks(magnet, *blocks_of(magnet, width, cut=True))
    value, error = gibbs(blocks, blocks.at(extra))
    assert error < 1e-9
    assert value - error <= truth


@settings(max_examples=80, deadline=None)
@given(magnets(ferromagnetic=True), st.integers(1, 4), st.booleans(), st.integers(0, 2**31))
def test_any_fields_bound_log_z_of_ferromagnets_by_bethe(magnet, width, cut, seed):
    truth = enumerate_all(magnet.factor_graph())[0]
    rng = np.random.default_rng(seed)
    blocks = Blocks(magnet, *blocks_of(magnet, width, cut=cut))
    for scale in (0.0, 0.5, 5.0):
        state = blocks.at(rng.normal(scale=scale, size=magnet.n))
        value, error = bethe(blocks, state)
        assert error < 1e-6
        assert value - error <= truth
        if cut:
            assert value >= gibbs(blocks, state)[0] - 1e-9  # the best pair tables are better than products


@settings(max_examples=25, deadline=None)
@given(magnets())
def test_methods_are_below_and_end_exact(magnet):
    truth = enumerate_all(magnet.factor_graph())[0]
    methods: list[cal.AbstractMethod] = [cal.StructuredMeanField(starts=2, sweeps=20)]
    methods += [cal.RegionBethe(sweeps=20)] if ferromagnetic_signs(magnet) is not None else []
    for method in methods:
        answers = list(iterate(magnet, method, limits=Limits()))
        assert all(a.lower.value <= truth for a in answers)
        assert answers[-1].lower.value == pytest.approx(truth, abs=1e-8)


@given(magnets(ferromagnetic=True), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_flipped_ferromagnets_are_recognised(magnet, seed):
    flips = np.random.default_rng(seed).choice([-1.0, 1.0], magnet.n)
    hidden = turned(magnet, flips)
    signs = ferromagnetic_signs(hidden)
    assert signs is not None
    assert (turned(hidden, signs).couplings >= 0).all()
    a, b = (log_z(m, cal.RegionBethe(width=1)).lower.value for m in (magnet, hidden))
    truth = enumerate_all(magnet.factor_graph())[0]
    assert max(a, b) <= truth


def test_a_frustrated_triangle_is_refused():
    triangle = cal.Ising.from_arrays(np.array([[0, 1], [0, 2], [1, 2]]), np.array([1.0, 1.0, -1.0]))
    assert ferromagnetic_signs(triangle) is None
    with pytest.raises(Refusal, match="frustration"):
        log_z(triangle, cal.RegionBethe())
    with pytest.raises(Refusal, match="Ising"):
        log_z(triangle.factor_graph(), cal.RegionBethe())
    with pytest.raises(Refusal, match="Ising"):
        log_z(triangle.factor_graph(), cal.StructuredMeanField())


def test_bethe_on_a_tree_is_exact():
    magnet = cal.Ising.chain(10, field="gauss:0.5", beta=0.7, periodic=False, seed=3)
    star = cal.Ising.from_arrays(np.array([[0, i] for i in range(1, 9)]), 0.4, np.linspace(-1, 1, 9))
    for model in (magnet, star):
        truth = log_z(model, cal.Elimination()).value
        assert log_z(dataclasses.replace(model, lattice=None), cal.RegionBethe(width=1)).lower.value == pytest.approx(
            truth, abs=1e-6
        )


def test_wider_strips_are_tighter_and_bethe_beats_mean_field():
    magnet = cal.Ising.square((10, 10), beta=CRITICAL, field=0.1)
    truth = log_z(magnet, cal.Elimination(), time_limit=30).value
    wide = [log_z(magnet, cal.RegionBethe(width=w)).lower.value for w in (1, 2, 5)]
    assert wide[0] < wide[1] < wide[2] < truth
    assert log_z(magnet, cal.StructuredMeanField(width=5, starts=2)).lower.value < wide[0]


def test_more_starts_never_hurt_and_are_reproducible():
    glass = cal.Ising.cubic(4, coupling="pm1", beta=1.0, seed=1)
    few, many, again = (log_z(glass, cal.StructuredMeanField(width=2, starts=s)).lower.value for s in (1, 12, 12))
    assert few <= many == again


@pytest.mark.parametrize("field", ["0.2", "gauss:1"])
@pytest.mark.parametrize(("kind", "shape"), [("square", (4, 3)), ("cubic", (3, 3, 2)), ("regular", (12,))])
def test_certificates_are_accepted(kind, shape, field, tmp_path):
    calipers_check = pytest.importorskip("calipers_check")
    degree = 3 if kind == "regular" else 0
    magnet = cal.Ising.on(kind, shape, field=field, beta=0.4, seed=2, degree=degree)
    magnet = turned(magnet, np.random.default_rng(0).choice([-1.0, 1.0], magnet.n))
    for method in (cal.RegionBethe(width=2), cal.StructuredMeanField(width=2, starts=2)):
        cal.log_z(magnet, method).certificate.save(tmp_path / "below.cert")
        verdict = calipers_check.check(tmp_path / "below.cert")
        assert verdict.accepted, verdict.reason


def test_arguments_are_checked():
    for wrong in (lambda: cal.RegionBethe(width=0), lambda: cal.RegionBethe(sweeps=0)):
        with pytest.raises(ValueError, match="at least"):
            wrong()
    for wrong in (lambda: cal.StructuredMeanField(width=0), lambda: cal.StructuredMeanField(starts=0)):
        with pytest.raises(ValueError, match="at least"):
            wrong()
