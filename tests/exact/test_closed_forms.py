import csv
import math

import numpy as np
import pytest

from calipers.core.iterate import log_z
from calipers.exact.closed_forms import (
    chain_log_z,
    curie_weiss_log_z,
    onsager_critical_temperature,
    onsager_energy_per_site,
    onsager_free_energy_per_site,
    onsager_log_z_per_site,
    yang_magnetization,
)
from calipers.exact.enumeration import Enumeration
from calipers.models.ising import Ising
from calipers.variational.self_consistency import mean_field_equation

CATALAN = 0.915965594177219015


def test_onsager_at_the_critical_temperature():
    Tc = onsager_critical_temperature()
    assert Tc == pytest.approx(2.269185314213022, abs=1e-15)
    assert onsager_log_z_per_site(Tc) == pytest.approx(math.log(2) / 2 + 2 * CATALAN / math.pi, abs=1e-12)
    assert onsager_log_z_per_site(Tc) == pytest.approx(0.9296953983416103, abs=1e-12)
    assert onsager_energy_per_site(Tc) == pytest.approx(-math.sqrt(2), abs=1e-12)


@pytest.mark.parametrize("T", [0.3, 1.0, 2.0, 2.2, 2.3, 3.0, 10.0])
def test_energy_is_the_derivative_of_log_z(T):
    beta, d = 1 / T, 1e-5
    values = onsager_log_z_per_site(1 / np.array([beta + d, beta - d]))
    assert -(values[0] - values[1]) / (2 * d) == pytest.approx(float(onsager_energy_per_site(T)), abs=1e-7)
    assert onsager_free_energy_per_site(T) == pytest.approx(-T * float(onsager_log_z_per_site(T)), abs=1e-14)


def test_limits_of_temperature():
    assert onsager_log_z_per_site(1e9) == pytest.approx(math.log(2), abs=1e-12)
    assert onsager_log_z_per_site(0.01) == pytest.approx(200.0, rel=1e-14)
    assert onsager_energy_per_site(0.01) == pytest.approx(-2.0, abs=1e-12)


def test_far_from_criticality_a_large_torus_is_the_infinite_lattice(shared_data):
    rows = list(csv.DictReader((shared_data / "ising" / "kaufman.csv").read_text().splitlines()))
    L = max(int(row["L"]) for row in rows)
    for row in rows:
        if int(row["L"]) == L and abs(float(row["T"]) - onsager_critical_temperature()) > 0.3:
            per_site = float(row["lnZ_per_site"])
            degenerate = math.log(2) / L**2 if float(row["T"]) < 2 else 0.0
            assert onsager_log_z_per_site(float(row["T"])) == pytest.approx(per_site - degenerate, abs=1e-12)


def test_yang():
    Tc = onsager_critical_temperature()
    T = np.array([0.01, 1.0, 2.0, Tc * (1 - 1e-8), Tc, 3.0])
    m = yang_magnetization(T)
    assert m[0] == 1.0
    assert m[1] == pytest.approx((1 - math.sinh(2.0) ** -4) ** 0.125, abs=1e-15)
    assert 0 < m[3] < 0.15
    assert (m[4:] < 0.03).all()


@pytest.mark.parametrize(("J", "H", "T"), [(1.0, 0.0, 1.0), (1.0, 0.4, 0.7), (-1.3, 0.4, 0.5), (0.8, -2.0, 0.02)])
@pytest.mark.parametrize("periodic", [True, False])
def test_chains(J, H, T, periodic):
    model = Ising.chain(7, coupling=J, field=H, beta=1 / T, periodic=periodic)
    want = log_z(model, Enumeration()).value
    assert chain_log_z(7, T, J, H, periodic=periodic) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(("n", "H", "periodic"), [(3, 0.0, True), (3, 30.0, True), (2, 30.0, False), (8, 30.0, False)])
def test_cold_antiferromagnetic_chains_keep_their_digits(n, H, periodic):
    model = Ising.chain(n, coupling=-100.0, field=H, periodic=periodic)
    assert chain_log_z(n, 1.0, -100.0, H, periodic=periodic) == pytest.approx(
        log_z(model, Enumeration()).value, rel=1e-14
    )


def test_curie_weiss():
    model = Ising.complete(9, coupling=1.2 / 9, field=0.3, beta=1 / 0.8)
    assert curie_weiss_log_z(9, 0.8, 1.2, 0.3) == pytest.approx(log_z(model, Enumeration()).value, rel=1e-12)


def test_mean_field_is_exact_on_the_complete_graph():
    n, T, H = 100_000, 0.7, 0.1
    f = mean_field_equation(1, 1.0, H, T).free_energy.min()
    assert -T * curie_weiss_log_z(n, T, 1.0, H) / n == pytest.approx(f, abs=3e-5)
