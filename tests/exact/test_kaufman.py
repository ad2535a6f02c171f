"""Kaufman's torus, Onsager's heat capacity, the other lattices, and the method that recognises them."""

import csv
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.exact import closed_forms as square
from calipers.exact import closed_forms_triangular as other
from calipers.exact.enumeration import enumerate_all
from calipers.exact.kaufman import strip_correlation_length, torus_energy, torus_heat_capacity, torus_log_z
from calipers.models.ising import Ising


def rows(folder):
    with open(folder / "ising" / "kaufman.csv") as file:
        return [{k: float(v) for k, v in row.items() if k != "bruteforce_absdiff"} for row in csv.DictReader(file)]


def torus(m, n, x, y, beta):
    """A torus with couplings x along the first axis and y along the second."""
    count = m * n * (m > 1)
    couplings = np.concatenate([np.full(count, x), np.full(m * n * (n > 1), y)])
    return Ising.square((m, n), coupling=couplings, beta=beta)


def test_every_published_row(shared_data):
    table = rows(shared_data)
    assert len(table) == 36
    for row in table:
        side, T = int(row["L"]), row["T"]
        assert torus_log_z((side, side), T) == pytest.approx(row["lnZ"], rel=1e-14)
        assert torus_energy((side, side), T) / side**2 == pytest.approx(row["energy_per_site"], rel=1e-12)
        assert torus_heat_capacity((side, side), T) / side**2 == pytest.approx(row["specific_heat_per_site"], rel=1e-12)


def test_the_method_brackets_every_published_row(shared_data):
    for row in rows(shared_data):
        side = int(row["L"])
        answer = log_z(Ising.square((side, side), beta=1.0 / row["T"]), cal.ClosedForm())
        assert answer.exact
        assert answer.lower.value <= row["lnZ"] <= answer.upper.value
        assert answer.gap < 1e-14 * 100 * side**2


@settings(max_examples=80)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda s: s[0] * s[1] > 2),
    st.sampled_from([(1.0, 1.0), (0.7, -0.4), (-0.5, 0.9), (1.0, 0.0), (0.0, -0.5), (1.0, 1e-6), (-0.3, 2.0)]),
    st.sampled_from([0.1, 1.0, 2.269185314213022, 20.0, 1e4]),
)
def test_tori_agree_with_enumeration(shape, J, T):
    truth = enumerate_all(torus(shape[0], shape[1], J[0], J[1], 1.0 / T).factor_graph())[0]
    assert torus_log_z(shape, T, J) == pytest.approx(truth, rel=1e-13)


def test_two_lines_of_reversed_bonds_where_the_digits_suffice():
    truth = enumerate_all(torus(3, 3, -0.6, -1.1, 0.5).factor_graph())[0]
    assert torus_log_z((3, 3), 2.0, (-0.6, -1.1)) == pytest.approx(truth, rel=1e-10)
    with pytest.raises(Refusal):
        log_z(torus(3, 3, -0.6, -1.1, 0.5), cal.ClosedForm())


@pytest.mark.parametrize("T", [0.02, 0.8, 2.0, 2.269185314213022, 5.0, 1e3])
def test_derivatives_are_moments_of_the_energy(T):
    magnet = torus(3, 4, 0.7, 1.2, 1.0 / T)
    every = 1.0 - 2.0 * ((np.arange(4096)[:, None] >> np.arange(12)) & 1)
    energy = magnet.energy(every)
    p = np.exp(-(energy - energy.min()) / T)
    p /= p.sum()
    mean = p @ energy
    assert torus_energy((3, 4), T, (0.7, 1.2)) == pytest.approx(mean, rel=1e-11)
    assert torus_heat_capacity((3, 4), T, (0.7, 1.2)) == pytest.approx(
        p @ (energy - mean) ** 2 / T**2, rel=1e-8, abs=1e-11
    )


def test_transposing_changes_nothing():
    assert torus_log_z((7, 12), 1.3, (0.4, 1.1)) == pytest.approx(torus_log_z((12, 7), 1.3, (1.1, 0.4)), rel=1e-14)


@pytest.mark.parametrize("T", [0.2, 1.0, 1.9, 2.7, 8.0, 10.0, 12.0, 500.0])
def test_onsagers_heat_capacity_is_a_large_torus(T):
    large = torus_heat_capacity((160, 160), T) / 160**2
    assert square.onsager_heat_capacity_per_site(T) == pytest.approx(large, rel=1e-11, abs=2e-13)


def test_onsagers_heat_capacity_diverges_and_takes_arrays():
    Tc = square.onsager_critical_temperature()
    values = square.onsager_heat_capacity_per_site(np.array([Tc * (1 - 1e-3), Tc * (1 - 1e-6), Tc * (1 + 1e-6), 0.3]))
    slope = (values[1] - values[0]) / math.log(1e3)
    assert slope == pytest.approx(8 / math.pi / Tc**2, rel=0.01)  # C ≈ −(8/π) (K_c)² log|1 − T/T_c|
    assert values[2] == pytest.approx(values[1], rel=1e-3)
    assert values[3] == pytest.approx((1 / 0.3) ** 2 * 64 * math.exp(-8 / 0.3), rel=1e-4)


def test_duality_of_the_square_lattice():
    K = 0.37
    dual = -0.5 * math.log(math.tanh(K))
    low, high = (float(square.onsager_log_z_per_site(1 / k)) for k in (K, dual))
    assert low - 0.5 * math.log(math.sinh(2 * K)) == pytest.approx(
        high - 0.5 * math.log(math.sinh(2 * dual)), abs=1e-13
    )


def test_triangular_and_honeycomb_critical_points():
    assert other.triangular_critical_temperature() == pytest.approx(4 / math.log(3), abs=1e-15)
    assert other.triangular_critical_temperature(-1.0) == 0.0
    assert other.triangular_energy_per_site(4 / math.log(3)) == pytest.approx(-2.0, abs=1e-12)  # Houtappel
    assert other.honeycomb_critical_temperature() == pytest.approx(2 / math.log(2 + math.sqrt(3)), abs=1e-15)
    critical = other.honeycomb_critical_temperature()
    assert other.honeycomb_energy_per_site(critical) == pytest.approx(-2 / math.sqrt(3), abs=1e-7)
    assert other.honeycomb_energy_per_site(1.0, -1.0) == other.honeycomb_energy_per_site(1.0)


LATTICES = ("triangular", "honeycomb")


def per_site(lattice, what, *arguments):
    return getattr(other, f"{lattice}_{what}")(*arguments)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("J", [1.0, -1.0])
def test_heat_capacities_are_derivatives_of_energies(lattice, J):
    T = np.array([0.3, 0.7, 1.3, 2.0, 3.0, 4.0, 10.0, 100.0])
    d = 1e-4 * T
    energies = [per_site(lattice, "energy_per_site", T + k * d, J) for k in (-2, -1, 1, 2)]
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * d)
    np.testing.assert_allclose(per_site(lattice, "heat_capacity_per_site", T, J), slope, atol=1e-9)


@pytest.mark.parametrize("lattice", LATTICES)
def test_heat_capacities_diverge_like_a_logarithm(lattice):
    T = per_site(lattice, "critical_temperature")
    assert per_site(lattice, "heat_capacity_per_site", T) == math.inf
    for side in (-1.0, 1.0):
        near = [per_site(lattice, "heat_capacity_per_site", T * (1.0 + side * 10.0**-k)) for k in (6, 7, 8, 9)]
        steps = np.diff(near)
        assert (steps > 1.0).all()
        np.testing.assert_allclose(steps, steps[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("lattice", "first", "second"), [("triangular", (12, 2), (20, 12)), ("honeycomb", (6, 2), (8, 6))]
)
def test_magnetizations_begin_with_one_and_two_flipped_spins(lattice, first, second):
    """1 − 2 e^{−2Kz} − …: a spin has z bonds; a pair of neighbours 2z − 2, and there are z/2 of them a site."""
    T = 0.35 if lattice == "honeycomb" else 0.9
    series = 1.0 - first[1] * math.exp(-first[0] / T) - second[1] * math.exp(-second[0] / T)
    beyond = 40.0 * math.exp(-(second[0] + 2) / T)
    assert per_site(lattice, "magnetization", T) == pytest.approx(series, abs=beyond)
    critical = per_site(lattice, "critical_temperature")
    m = per_site(lattice, "magnetization", np.array([0.01, critical * (1 - 1e-8), critical, 2 * critical]))
    assert m[0] == 1.0
    assert 0.0 < m[1] < 0.2
    assert (m[2:] == 0.0).all()


def test_residual_entropy_of_the_triangular_antiferromagnet():
    entropy = other.triangular_residual_entropy()
    assert entropy == pytest.approx(0.3230659, abs=5e-8)
    wannier = 2 / math.pi * np.sum(_simpson(lambda w: np.log(2 * np.cos(w)), 0.0, math.pi / 3))
    assert entropy == pytest.approx(wannier, abs=1e-9)
    for T in (0.03, 0.1):
        S = other.triangular_log_z_per_site(T, -1.0) + other.triangular_energy_per_site(T, -1.0) / T
        assert pytest.approx(entropy, abs=1e-8) == S


def _simpson(f, a, b, pieces=20_000):
    x = np.linspace(a, b, 2 * pieces + 1)
    y = f(x)
    y[0], y[-1] = f(np.array([a + 1e-12, b - 1e-12]))
    return (b - a) / (6 * pieces) * (y[:-2:2] + 4 * y[1:-1:2] + y[2::2])


@pytest.mark.parametrize("J", [1.0, -1.0])
@pytest.mark.parametrize("T", [0.2, 1.0, 3.0, 3.7, 10.0])
def test_energies_are_derivatives(J, T):
    step = 1e-5 / T
    for log_z_of, energy in (
        (other.triangular_log_z_per_site, other.triangular_energy_per_site),
        (other.honeycomb_log_z_per_site, other.honeycomb_energy_per_site),
    ):
        values = log_z_of(1 / np.array([1 / T + step, 1 / T - step]), J)
        assert -(values[0] - values[1]) / (2 * step) == pytest.approx(float(energy(T, J)), abs=2e-8)


def test_far_from_criticality_a_torus_is_the_infinite_lattice():
    triangular = log_z(Ising.triangular((9, 9), beta=0.04), cal.TransferMatrix()).value / 81
    assert other.triangular_log_z_per_site(25.0) == pytest.approx(triangular, abs=1e-12)
    frustrated = log_z(Ising.triangular((9, 9), coupling=-1.0, beta=0.04), cal.TransferMatrix()).value / 81
    assert other.triangular_log_z_per_site(25.0, -1.0) == pytest.approx(frustrated, abs=1e-12)
    honeycomb = Ising.honeycomb((8, 8), beta=0.1)
    found = log_z(honeycomb, cal.TransferMatrix()).value / honeycomb.n
    assert other.honeycomb_log_z_per_site(10.0) == pytest.approx(found, abs=1e-12)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([0.2, 1.0, 8.0]), st.booleans())
def test_forests_and_loops_without_field(seed, beta, closed):
    rng = np.random.default_rng(seed)
    n = 9
    edges = [(int(rng.integers(v)), v) for v in range(1, n) if rng.random() < 0.8]
    if closed and len(edges) > 2:
        edges.append(tuple(rng.choice(n, 2, replace=False).tolist()))
    fields = np.zeros(n + 1)
    fields[n] = 0.7  # a lone spin may have one
    magnet = Ising.from_arrays(np.array(edges).reshape(-1, 2), rng.normal(size=len(edges)), fields, beta, 0.5)
    truth, error, *_ = enumerate_all(magnet.factor_graph())
    answer = log_z(magnet, cal.ClosedForm())
    assert answer.lower.value - error <= truth <= answer.upper.value + error


@pytest.mark.parametrize("K", [0.3, -0.7, 5.0, -100.0])
@pytest.mark.parametrize("h", [0.0, 0.4, 30.0, -70.0])
def test_uniform_rings_paths_and_complete_graphs(K, h):
    for magnet in (
        Ising.chain(3, coupling=K, field=h),
        Ising.chain(8, coupling=K, field=h),
        Ising.chain(8, coupling=K, field=h, periodic=False),
        Ising.complete(8, coupling=K / 8, field=h),
    ):
        truth, error, *_ = enumerate_all(magnet.factor_graph())
        answer = log_z(magnet, cal.ClosedForm())
        assert answer.lower.value - error <= truth <= answer.upper.value + error
        assert answer.gap < 1e-10 * max(1.0, abs(truth))


def test_a_torus_is_recognised_without_its_name_and_nothing_else_is():
    plain = Ising.square((5, 6), beta=0.4)
    nameless = Ising.from_arrays(plain.edges, plain.couplings, n=30, beta=0.4)
    assert log_z(nameless, cal.ClosedForm()).value == pytest.approx(torus_log_z((5, 6), 2.5), rel=1e-14)
    spoilt = plain.couplings.copy()
    spoilt[7] += 1e-9
    for magnet in (
        Ising.from_arrays(plain.edges, spoilt, n=30),
        Ising.square((5, 6), field=1e-9),
        Ising.triangular((5, 6)),
        Ising.square((5, 6), periodic=False),
        Ising.complete(6, coupling="gauss:1"),
    ):
        with pytest.raises(Refusal, match="no closed form"):
            cal.ClosedForm().plan(magnet)
    three = cal.FactorGraph.from_tables((2, 2, 2), [((0, 1, 2), np.arange(1.0, 9.0).reshape(2, 2, 2))])
    with pytest.raises(Refusal, match="more than two variables"):
        cal.ClosedForm().plan(three)


def test_large_models_take_no_time():
    answer = log_z(Ising.square((300, 300), beta=0.44), cal.ClosedForm())
    assert answer.stats["formula"] == "a uniform square torus"
    assert 0.9 < answer.value / 90_000 < 0.95
    assert log_z(Ising.chain(100_000, coupling="gauss:1", periodic=False), cal.ClosedForm()).gap < 1e-6


@pytest.mark.parametrize(("shape", "T"), [((0, 3), 1.0), ((3, 3), 0.0), ((3, 3), -1.0)])
def test_bad_arguments(shape, T):
    with pytest.raises(ValueError, match="torus has two sides"):
        torus_log_z(shape, T)


def test_correlation_length_tends_to_the_infinite_lattice():
    K = 1 / 3.0
    exact = 1 / (-math.log(math.tanh(K)) - 2 * K)
    assert strip_correlation_length(400, 3.0) == pytest.approx(exact, rel=1e-9)
    with pytest.raises(ValueError, match="positive"):
        strip_correlation_length(4, 1.0, -1.0)
