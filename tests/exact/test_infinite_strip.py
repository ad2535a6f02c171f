"""Strips without end, tori by the spectrum, and the strip in JAX."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import calipers as cal
from calipers.core.iterate import log_z
from calipers.exact.closed_forms import onsager_critical_temperature
from calipers.exact.infinite_strip import infinite_strip, spectral_torus_log_z
from calipers.exact.kaufman import strip_correlation_length, torus_log_z
from calipers.exact.transfer_matrix_jax import strip_arrays, strip_log_z
from calipers.models.ising import Ising


@pytest.mark.parametrize("width", [2, 5, 8, 12])
@pytest.mark.parametrize("T", [1.5, onsager_critical_temperature(), 3.0, 6.0])
def test_strips_agree_with_kaufman(width, T):
    strip = infinite_strip(width, T)
    exact = strip_correlation_length(width, T)
    assert strip.correlation_length == pytest.approx(exact, rel=1e-14 * width * exact + 1e-12)
    assert strip.log_z_per_site == pytest.approx(torus_log_z((20_000, width), T) / (20_000 * width), abs=1e-4)
    assert strip.residual < 1e-12


def test_above_the_critical_temperature_the_length_tends_to_onsagers():
    T = 3.5
    exact = 1 / (-math.log(math.tanh(1 / T)) - 2 / T)
    gaps = [abs(infinite_strip(w, T).correlation_length - exact) for w in (4, 8, 16)]
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]


@pytest.mark.parametrize("periodic", [True, False])
def test_a_long_strip_in_a_field_is_the_infinite_one(periodic):
    strip = infinite_strip(7, 4.0, (-0.8, 0.5), 0.4, periodic=periodic)
    rows = []
    for length in (40, 41):
        sites = np.arange(length * 7).reshape(length, 7)
        along = np.stack([sites[:-1].ravel(), sites[1:].ravel()], axis=1)
        inside = sites if periodic else sites[:, :-1]
        across = np.stack([inside.ravel(), (np.roll(sites, -1, 1) if periodic else sites[:, 1:]).ravel()], axis=1)
        couplings = np.concatenate([np.full(len(along), -0.8), np.full(len(across), 0.5)])
        magnet = Ising.from_arrays(np.concatenate([along, across]), couplings, np.full(sites.size, 0.4), 1 / 4.0)
        rows.append(log_z(magnet, cal.TransferMatrix()).value)
    assert (rows[1] - rows[0]) / 7 == pytest.approx(strip.log_z_per_site, abs=1e-11)


@pytest.mark.parametrize("shape", [(4, 3), (3, 5), (2, 6)])
def test_tori_by_the_spectrum(shape):
    assert spectral_torus_log_z(shape, 1.3, (0.7, 0.4)) == pytest.approx(torus_log_z(shape, 1.3, (0.7, 0.4)), rel=1e-13)
    magnet = Ising.square(shape, coupling=-1.0, field=0.3, beta=1 / 1.3)
    truth = log_z(magnet, cal.Enumeration()).value
    assert spectral_torus_log_z(shape, 1.3, -1.0, 0.3) == pytest.approx(truth, rel=1e-13)


def test_bad_widths():
    with pytest.raises(ValueError, match="width"):
        infinite_strip(40, 1.0)
    with pytest.raises(ValueError, match="narrower side"):
        spectral_torus_log_z((20, 20), 1.0)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def test_jax_strip_and_its_gradient(x64):
    magnet = Ising.square((5, 4), coupling="gauss:1", field="gauss:0.5", beta=0.7, periodic=False, seed=3)
    arrays = strip_arrays(magnet)
    truth = cal.moments(magnet)
    assert float(strip_log_z(*arrays)) == pytest.approx(truth.answer.value, rel=1e-14)
    across, along, fields = jax.jit(jax.grad(strip_log_z, argnums=(0, 1, 2)))(*map(jnp.asarray, arrays))
    np.testing.assert_allclose(np.ravel(fields), truth.mean, atol=1e-13)
    np.testing.assert_allclose(sorted([*np.ravel(across), *np.ravel(along)]), sorted(truth.correlation), atol=1e-13)


def test_jax_closed_rows_second_derivative_and_batches(x64):
    rng = np.random.default_rng(1)
    across, along, fields = (jnp.asarray(rng.normal(size=s)) for s in ((3, 3), (2, 3), (3, 3)))
    every = 1.0 - 2.0 * ((np.arange(512)[:, None] >> np.arange(9)) & 1)
    s = every.reshape(-1, 3, 3)
    weight = (s * np.roll(s, -1, 2) * np.asarray(across)).sum((1, 2)) + (s * np.asarray(fields)).sum((1, 2))
    weight += (s[:, 1:] * s[:, :-1] * np.asarray(along)).sum((1, 2))

    def at(beta):
        return strip_log_z(beta * across, beta * along, beta * fields)

    @jax.jit
    @jax.vmap
    def all_orders(beta):
        return at(beta), jax.grad(at)(beta), jax.grad(jax.grad(at))(beta)

    betas = np.array([0.4, 1.0])
    for beta, value, first, second in zip(betas, *all_orders(jnp.asarray(betas)), strict=True):
        log_p = beta * weight - np.logaddexp.reduce(beta * weight)
        mean = np.exp(log_p) @ weight
        assert float(value) == pytest.approx(np.logaddexp.reduce(beta * weight), rel=1e-14)
        assert float(first) == pytest.approx(mean, rel=1e-12)
        assert float(second) == pytest.approx(np.exp(log_p) @ (weight - mean) ** 2, rel=1e-11)


def test_strip_arrays_of_a_cylinder_and_of_no_strip():
    sites = np.arange(12).reshape(3, 4)
    across = np.stack([sites.ravel(), np.roll(sites, -1, 1).ravel()], axis=1)
    edges = np.concatenate([across, np.stack([sites[:-1].ravel(), sites[1:].ravel()], axis=1)])
    arrays = strip_arrays(Ising.from_arrays(edges, 0.5, n=12, beta=2.0), (3, 4))
    assert [a.shape for a in arrays] == [(3, 4), (2, 4), (3, 4)]
    assert (arrays.across == 1.0).all()
    with pytest.raises(ValueError, match="does not belong"):
        strip_arrays(Ising.square((4, 4)))
    with pytest.raises(ValueError, match="needs a shape"):
        strip_arrays(Ising.from_arrays(edges, n=12))
