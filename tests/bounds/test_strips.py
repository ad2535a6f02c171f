"""Regions and strips: kernels against NumPy, gradients, laws against enumeration, widths, certificates, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from tests.strategies import magnets

import calipers as cal
from calipers.bounds.cover_lattice import least_width, strips, sweep_rank
from calipers.bounds.region import Regions
from calipers.bounds.region_descent import descend
from calipers.bounds.region_kernels import exp_of_negative, log1p_of_unit
from calipers.bounds.region_layout import Pairs, Region, second_neighbours
from calipers.core.iterate import iterate, log_z
from calipers.core.method import Limits, Refusal
from calipers.exact.enumeration import enumerate_all

GLASS = cal.Ising.square((8, 8), coupling="pm1", field="gauss:0.1", beta=1.0, seed=5)
LATTICES = ("chain", "square", "triangular", "honeycomb", "cubic")


@njit
def _both(x):
    exp, log1p = np.empty_like(x), np.empty_like(x)
    for i in range(len(x)):
        exp[i] = exp_of_negative(x[i])
        log1p[i] = log1p_of_unit(exp[i])
    return exp, log1p


def test_exponential_and_logarithm_are_good_to_four_units_in_the_last_place():
    rng = np.random.default_rng(0)
    x = np.concatenate([-rng.random(20000) * np.exp(rng.uniform(-30, 6.5, 20000)), [-700.0, -0.0, -0.6931, -0.88137]])
    x = np.maximum(x, -700.0)
    exp, log1p = _both(x)
    assert np.abs(exp / np.exp(x) - 1.0).max() < 4 * 2.0**-52
    assert np.abs(log1p / np.log1p(exp) - 1.0).max() < 4 * 2.0**-52


def regions_of(magnet: cal.Ising, width: int) -> Regions:
    assert magnet.lattice is not None
    pairs = Pairs.of(magnet.n, magnet.edges, second_neighbours(magnet.n, magnet.edges))
    return Regions(magnet, pairs, sweep_rank(magnet.lattice), strips(magnet.lattice, pairs, width))


@settings(max_examples=60, deadline=None)
@given(magnets(LATTICES), st.integers(0, 3), st.integers(0, 2**31))
def test_any_shares_and_weights_bound_log_z(magnet, wider, seed):
    truth = enumerate_all(magnet.factor_graph())[0]
    regions = regions_of(magnet, least_width(magnet.lattice) + wider)
    rng = np.random.default_rng(seed)
    free = regions.start() + rng.normal(scale=rng.choice([0.0, 0.3, 3.0]), size=len(regions.start()))
    value, error, _ = regions.evaluate(regions.spread(free))
    assert error < 1e-9
    assert value + error >= truth


@settings(max_examples=20, deadline=None)
@given(magnets(LATTICES), st.integers(0, 2**31))
def test_the_gradient_is_the_slope(magnet, seed):
    regions = regions_of(magnet, least_width(magnet.lattice))
    rng = np.random.default_rng(seed)
    free = regions.start() + rng.normal(scale=0.3, size=len(regions.start()))
    split = regions.spread(free)
    way = rng.normal(size=len(free))
    slope = float(regions.slope(split, regions.evaluate(split)[2]) @ way)
    up, down = (regions.evaluate(regions.spread(free + s * 1e-5 * way))[0] for s in (1, -1))
    assert slope == pytest.approx((up - down) / 2e-5, abs=1e-4 * max(1.0, abs(slope)))


def test_phi_is_jointly_convex():
    regions = regions_of(cal.Ising.square((3, 3), coupling="gauss:1", beta=1.0, seed=0), 2)
    rng = np.random.default_rng(1)
    ends = [regions.spread(rng.normal(size=len(regions.start()))) for _ in range(2)]
    middle = [0.5 * (a + b) for a, b in zip(*ends, strict=True)]
    values = [regions.evaluate(s)[0] for s in ends]
    assert regions.evaluate(type(ends[0])(*middle))[0] <= 0.5 * sum(values) + 1e-9


def test_regions_must_cover():
    magnet = cal.Ising.square((3, 3))
    pairs = Pairs.of(9, magnet.edges, np.zeros((0, 2), np.int64))
    with pytest.raises(ValueError, match="every site and every edge"):
        Regions(magnet, pairs, np.arange(9), [Region(np.arange(8), np.arange(3), np.arange(0))])


def test_descent_only_gives_improvements_and_the_value_of_their_split():
    regions = regions_of(GLASS, 4)
    bounds = list(descend(regions, regions.start(), 40))
    values = [b.value for b in bounds]
    assert len(values) > 3
    assert values == sorted(values, reverse=True)
    assert regions.evaluate(bounds[-1].split)[0] == values[-1]


@settings(max_examples=40, deadline=None)
@given(magnets())
def test_no_strip_is_on_the_wrong_side(magnet):
    truth = enumerate_all(magnet.factor_graph())[0]
    try:
        answers = list(iterate(magnet, cal.Strips(steps=8), limits=Limits()))
    except Refusal:
        assert magnet.lattice.kind in ("complete", "sk", "regular")
        return
    assert all(a.upper.value >= truth for a in answers)
    assert answers[-1].exact  # small lattices end as one strip
    assert answers[-1].upper.value == pytest.approx(truth, abs=1e-9)


def test_wider_strips_are_tighter():
    truth = log_z(GLASS, cal.Elimination()).value
    gaps = [log_z(GLASS, cal.Strips(width=w)).upper.value - truth for w in (2, 4, 6)]
    assert gaps[0] > 1.5 * gaps[1]
    assert gaps[1] > 1.2 * gaps[2] > 0


def test_pairs_of_second_neighbours_tighten():
    assert GLASS.lattice is not None
    found = []
    for more in (second_neighbours(GLASS.n, GLASS.edges), np.zeros((0, 2), np.int64)):
        pairs = Pairs.of(GLASS.n, GLASS.edges, more)
        regions = Regions(GLASS, pairs, sweep_rank(GLASS.lattice), strips(GLASS.lattice, pairs, 4))
        found.append(list(descend(regions, regions.start(), 100))[-1].value)
    assert found[0] < found[1] - 0.05


@pytest.mark.parametrize("open_", [True, False])
@pytest.mark.parametrize("kind", ["square", "triangular", "cubic"])
def test_certificates_are_accepted(kind, open_, tmp_path):
    calipers_check = pytest.importorskip("calipers_check")
    shape = (3, 2, 3) if kind == "cubic" else (4, 5)
    magnet = cal.Ising.on(kind, shape, coupling="pm1", field="gauss:0.5", beta=0.8, periodic=not open_, seed=2)
    answer = cal.log_z(magnet, cal.Strips(width=least_width(magnet.lattice), steps=20))
    assert not answer.exact
    answer.certificate.save(tmp_path / "strips.cert")
    verdict = calipers_check.check(tmp_path / "strips.cert")
    assert verdict.accepted, verdict.reason


def test_refusals():
    with pytest.raises(Refusal, match="lattices"):
        log_z(GLASS.factor_graph(), cal.Strips())
    with pytest.raises(Refusal, match="lattices"):
        log_z(cal.Ising.sherrington_kirkpatrick(5), cal.Strips())
    with pytest.raises(Refusal, match="at least 2"):
        log_z(GLASS, cal.Strips(width=1))
    with pytest.raises(Refusal, match="GB"):
        log_z(cal.Ising.square(64), cal.Strips(width=60))
    with pytest.raises(ValueError, match="at least one"):
        cal.Strips(width=0)
    with pytest.raises(ValueError, match="negative"):
        cal.Strips(steps=-1)


def test_an_offset_is_counted():
    magnet = cal.Ising.from_arrays(GLASS.edges, GLASS.couplings, GLASS.fields, 1.0, 3.0, lattice=GLASS.lattice)
    bare, shifted = (log_z(m, cal.Strips(width=2, steps=5)).upper.value for m in (GLASS, magnet))
    assert shifted == pytest.approx(bare - 3.0, abs=1e-9)
    assert math.isfinite(shifted)
