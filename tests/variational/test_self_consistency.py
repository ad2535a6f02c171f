import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipers.core.iterate import log_z
from calipers.models.ising import Ising
from calipers.variational.mean_field import MeanField
from calipers.variational.self_consistency import (
    bethe_critical_temperature,
    bethe_magnetization,
    magnetization_curves,
    mean_field_equation,
    mean_field_magnetization,
)

numbers = st.floats(-5, 5).map(lambda x: round(x, 3))


@given(st.integers(1, 12), numbers, numbers, st.floats(0.01, 30))
def test_every_solution_solves_and_none_is_missed(z, J, H, T):
    found = mean_field_equation(z, J, H, T)
    assert found.right_side(found.m) == pytest.approx(found.m, abs=1e-9 * (1 + abs(z * J) / T))
    assert (np.diff(found.m) > 0).all()
    grid = np.tanh(np.linspace(-1.0, 1.0, 4001) * (abs(z * J) + abs(H) + 1) / T)  # dense in the field x
    gap = np.sign(grid - found.right_side(grid))
    crossings = int((np.diff(gap[gap != 0]) != 0).sum())
    assert crossings <= len(found.m) <= 3
    assert len(found.m) % 2 == 1 or abs(abs(found.m).min() - 1) < 1  # two only where two solutions touch


@given(st.integers(1, 12), st.floats(0.1, 5), numbers, st.floats(0.05, 30))
def test_stable_solutions_are_minima_of_the_free_energy(z, J, H, T):
    found = mean_field_equation(z, J, H, T)
    step = 1e-4
    for m, stable, f in zip(found.m, found.stable, found.free_energy, strict=True):
        if abs(m) < 0.99 and abs(z * J / T * (1 - m * m) - 1) > 0.05:
            around = found.free_energy_at(np.array([m - step, m + step]))
            assert stable == bool((around > f).all())


def test_below_the_critical_temperature_there_are_three():
    found = mean_field_equation(4, 1.0, 0.0, 2.0)
    assert found.critical_temperature == 4.0
    assert found.stable.tolist() == [True, False, True]
    assert found.m[1] == 0.0
    assert found.m[2] == -found.m[0] == pytest.approx(0.957504024, abs=1e-9)
    assert mean_field_equation(4, 1.0, 0.0, 5.0).m.tolist() == [0.0]


@pytest.mark.parametrize("t", [1e-2, 1e-6, 1e-10])
def test_near_the_critical_temperature_it_follows_landau(t):
    m = mean_field_equation(6, 1.0, 0.0, 6.0 * (1.0 - t)).equilibrium
    assert m == pytest.approx(math.sqrt(3.0 * t), rel=2 * t + 1e-5)


def test_towards_zero_temperature_and_at_it():
    for T in (1e-7, 1e-9, 1e-300, 1e-320, 0.0):
        found = mean_field_equation(4, 1.0, 0.5, T)
        assert found.m == pytest.approx([-1.0, -0.125, 1.0])
        assert found.stable.tolist() == [True, False, True]
        assert found.equilibrium == 1.0
        assert found.free_energy[2] == pytest.approx(-2.5)
    assert mean_field_equation(4, -1.0, 0.5, 0.0).m.tolist() == [0.125]
    assert mean_field_equation(4, 1.0, 4.5, 0.0).m.tolist() == [1.0]
    assert mean_field_equation(4, 0.0, 0.0, 0.0).m.tolist() == [0.0]


def test_a_metastable_state_ends_at_the_spinodal():
    T, z = 2.0, 4
    edge = math.sqrt(1 - T / z)  # where the slope is one
    spinodal = z * edge - T * math.atanh(edge)
    assert len(mean_field_equation(z, 1.0, spinodal * (1 - 1e-9), T).m) == 3
    assert len(mean_field_equation(z, 1.0, spinodal * (1 + 1e-9), T).m) == 1
    inside = mean_field_equation(z, 1.0, 0.5 * spinodal, T)
    assert inside.free_energy[0] > inside.free_energy[2]
    assert inside.equilibrium == inside.m[2]


def test_an_antiferromagnet_has_one_uniform_solution():
    found = mean_field_equation(4, -1.0, 1.0, 0.3)
    assert len(found.m) == 1
    assert found.critical_temperature == 0.0


def test_it_is_what_mean_field_finds_on_a_lattice():
    for T, H in ((2.0, 0.0), (3.0, 0.3), (6.0, 0.2)):
        found = mean_field_equation(4, 1.0, H, T)
        model = Ising.square(6, field=H, beta=1.0 / T)
        bound = log_z(model, MeanField(starts=3, tolerance=0.0), gap=0.0).lower.value
        assert -T * bound / 36 == pytest.approx(found.free_energy.min(), abs=1e-9)


def test_curves_agree_with_the_solver_and_with_their_critical_temperatures():
    T = np.array([0.05, 1.0, 2.0, 3.5, 3.99999, 4.0, 7.0])
    for H in (0.0, 0.3, -0.3):
        want = [mean_field_equation(4, 1.0, H, t).equilibrium for t in T]
        assert mean_field_magnetization(4, 1.0, T, H) == pytest.approx(want, abs=1e-9)
    curves = magnetization_curves()
    for name, curve in (("mean field", curves.mean_field), ("Bethe", curves.bethe), ("exact", curves.exact)):
        t = curves.T / curves.critical[name] - 1.0
        assert (curve[t < -1e-6] > 1e-4).all()
        assert curve[t > 1e-6] == pytest.approx(0.0, abs=1e-7)
        assert (np.diff(curve) <= 1e-7).all()
    assert (curves.exact <= curves.bethe + 1e-7).all()
    assert (curves.bethe <= curves.mean_field + 1e-7).all()


@pytest.mark.parametrize(("z", "Tc"), [(3, 1.820478), (4, 2.885390), (6, 4.932607)])
def test_bethe_critical_temperature(z, Tc):
    assert bethe_critical_temperature(z) == pytest.approx(Tc, abs=5e-7)
    assert (z - 1) * math.tanh(1 / bethe_critical_temperature(z)) == pytest.approx(1.0, abs=1e-14)
    assert bethe_magnetization(z, 1.0, 0.999 * Tc) > 0.02
    assert bethe_magnetization(z, 1.0, 1.001 * Tc) == pytest.approx(0.0, abs=1e-12)


def test_the_chain_is_a_bethe_lattice_of_two_neighbours():
    """m = sinh h / √(sinh² h + e^{−4K}), exact in one dimension."""
    T, H = np.array([0.3, 1.0, 4.0]), 0.2
    want = np.sinh(H / T) / np.sqrt(np.sinh(H / T) ** 2 + np.exp(-4 / T))
    assert bethe_magnetization(2, 1.0, T, H) == pytest.approx(want, abs=1e-12)
    want = np.sinh(H / T) / np.sqrt(np.sinh(H / T) ** 2 + np.exp(4 / T))
    assert bethe_magnetization(2, -1.0, T, H) == pytest.approx(want, abs=1e-12)


def test_bad_input_is_refused():
    for bad in ((4, 1.0, 0.0, -1.0), (4, math.nan, 0.0, 1.0), (-1, 1.0, 0.0, 1.0)):
        with pytest.raises(ValueError, match="must be finite"):
            mean_field_equation(*bad)
