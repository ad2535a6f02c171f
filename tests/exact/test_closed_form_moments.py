"""Moments, energies and heat capacities by formula, against elimination, and against differences of log Z."""

import dataclasses
import math

import numpy as np
import pytest

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Refusal

FORM = cal.ClosedForm()
RNG = np.random.default_rng(0)
TREE = np.array([(RNG.integers(i), i) for i in range(1, 12)])
LOOPS = np.array([(0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (5, 6), (6, 7), (7, 8), (5, 8), (8, 9), (10, 11)])


def cases():
    yield "tree", cal.Ising.from_arrays(TREE, RNG.normal(size=11), beta=0.8, offset=0.7)
    for k, sign in enumerate(np.array([(1, 1, 1), (1, -1, 1), (-1, -1, -1), (0, 1, -1), (0, 0, 1)])):
        J = np.concatenate([sign * [0.4, 1.1, 0.7], RNG.normal(size=8)])
        yield f"loops {k}", cal.Ising.from_arrays(LOOPS, J, beta=1.3)
    yield "lone spins", cal.Ising.from_arrays(np.array([(0, 1)]), [0.5], [0.0, 0.0, 0.3, -1.2], beta=0.9)
    for periodic in (True, False):
        for K, h in ((0.7, 0.0), (0.7, 0.3), (-0.8, 0.3), (-0.8, 1.9), (0.0, 0.4), (2.0, -0.01)):
            for n in (5, 8):
                chain = cal.Ising.chain(n, coupling=K, field=h, periodic=periodic, beta=1.1)
                yield f"chain {n} {periodic} {K} {h}", chain
    for K, h in ((0.1, 0.0), (-0.3, 0.2), (0.3, -0.7)):
        yield f"complete {K} {h}", cal.Ising.complete(9, coupling=K, field=h, beta=1.2)
    for shape in ((3, 4), (2, 5), (4, 4), (2, 2), (5, 3)):
        for T in (0.7, 2.3, 8.0):
            yield f"torus {shape} {T}", cal.Ising.square(shape, beta=1.0 / T)
    yield "torus -", cal.Ising.square((4, 6), coupling=-1.0, beta=0.4)
    yield "frustrated torus", cal.Ising.square((3, 4), coupling=-1.0, beta=0.6)


@pytest.mark.parametrize(("name", "magnet"), list(cases()), ids=lambda x: x if isinstance(x, str) else "")
def test_they_are_those_of_elimination(name, magnet):
    found, truth = cal.moments(magnet, FORM), cal.moments(magnet)
    np.testing.assert_allclose(found.mean, truth.mean, atol=1e-12)
    np.testing.assert_allclose(found.correlation, truth.correlation, atol=1e-11)
    for a, b in zip(found.factors, truth.factors, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)
    for quantity in (cal.energy, cal.heat_capacity, cal.entropy):
        assert quantity(magnet, FORM) == pytest.approx(quantity(magnet), abs=1e-11, rel=1e-10)


def test_axes_and_numberings():
    """A torus with two couplings, and a path and a ring whose sites are numbered in no order."""
    torus = cal.Ising.square((4, 5), beta=0.5)
    along = cal.Ising.square((4, 5), coupling=1.0).edges
    J = np.where((along[:, 1] - along[:, 0] == 1) | (along[:, 1] - along[:, 0] == 4), 0.6, 1.3)
    magnet = dataclasses.replace(torus, couplings=J)
    np.testing.assert_allclose(cal.moments(magnet, FORM).correlation, cal.moments(magnet).correlation, atol=1e-12)
    assert cal.heat_capacity(magnet, FORM) == pytest.approx(cal.heat_capacity(magnet), rel=1e-11)
    order = np.random.default_rng(1).permutation(9)
    for ends in ([(i, i + 1) for i in range(8)], [(i, (i + 1) % 9) for i in range(9)]):
        edges = order[np.array(ends)]
        magnet = cal.Ising.from_arrays(edges, np.full(len(edges), 0.7), np.full(9, 0.2), beta=0.8)
        found, truth = cal.moments(magnet, FORM), cal.moments(magnet)
        np.testing.assert_allclose(found.mean, truth.mean, atol=1e-13)
        np.testing.assert_allclose(found.correlation, truth.correlation, atol=1e-13)


def test_moments_of_a_file(tmp_path):
    magnet = cal.Ising.square((4, 4), beta=0.4)
    cal.write_uai(magnet, tmp_path / "m.uai")
    graph = cal.read_uai(tmp_path / "m.uai")
    found, truth = cal.moments(graph, FORM), cal.moments(graph)
    for a, b in zip(found.factors, truth.factors, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    with pytest.raises(Refusal, match="magnets"):
        cal.energy(graph, FORM)


@pytest.mark.parametrize(
    "magnet",
    [
        cal.Ising.square((64, 64), beta=0.4),
        cal.Ising.square((100, 63), beta=0.3),
        cal.Ising.complete(400, coupling=1 / 400, field=0.02, beta=1.1),
        cal.Ising.chain(3000, coupling=1.0, field=0.05, beta=0.9),
        cal.Ising.chain(2001, coupling=-1.0, field=0.05, beta=0.9, periodic=False),
    ],
)
def test_large_ones_against_differences(magnet):
    """Five points of log Z(β); its rounding, not the step, is what limits them."""
    d = 2e-3
    logs = [log_z(dataclasses.replace(magnet, beta=magnet.beta + k * d), FORM).value for k in (-2, -1, 0, 1, 2)]
    first = (logs[0] - 8 * logs[1] + 8 * logs[3] - logs[4]) / (12 * d)
    second = (-logs[0] + 16 * logs[1] - 30 * logs[2] + 16 * logs[3] - logs[4]) / (12 * d * d)
    assert cal.energy(magnet, FORM) == pytest.approx(-first, rel=1e-6)
    assert cal.heat_capacity(magnet, FORM) == pytest.approx(magnet.beta**2 * second, rel=1e-3)
    found = cal.moments(magnet, FORM)
    sums = magnet.couplings @ found.correlation + magnet.fields @ found.mean
    assert -sums == pytest.approx(cal.energy(magnet, FORM), rel=1e-10)


def test_cold_and_hot():
    cold = cal.Ising.square((8, 8), beta=30.0)
    assert cal.energy(cold, FORM) == pytest.approx(-128.0, abs=1e-12)
    assert cal.entropy(cold, FORM) == pytest.approx(math.log(2.0), abs=1e-9)
    assert cal.heat_capacity(cold, FORM) == pytest.approx(0.0, abs=1e-12)
    ring = cal.Ising.chain(9, coupling=-1.0, beta=40.0)  # one broken bond, in nine places, either way up
    assert cal.entropy(ring, FORM) == pytest.approx(math.log(18.0), abs=1e-9)
    assert cal.moments(ring, FORM).correlation == pytest.approx(-7.0 / 9.0, abs=1e-12)
    hot = cal.Ising.complete(12, coupling="gauss:1", beta=0.0, seed=2)
    assert cal.heat_capacity(hot, FORM) == 0.0
    assert cal.entropy(hot, FORM) == pytest.approx(12 * math.log(2.0), abs=1e-12)


def test_no_formula_no_energy():
    with pytest.raises(Refusal, match="no closed form"):
        cal.energy(cal.Ising.square(4, coupling="pm1", seed=1), FORM)
