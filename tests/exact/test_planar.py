"""Planar magnets against enumeration, transfer matrices, duality, Kaufman's torus; error bars that hold."""

import csv
import dataclasses
import math
import sys

import equinox as eqx
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import Delaunay

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.exact.planar_partition import PlanarError, log_partition_planar, planar_graph


def enumerate_spins(n, edges, K):
    """log Z and edge correlations, spin by spin."""
    s = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    pairs = s[:, edges[:, 0]] * s[:, edges[:, 1]]
    logs = pairs @ K
    weights = np.exp(logs - logs.max())
    return logs.max() + math.log(weights.sum()), weights @ pairs / weights.sum()


def strip_log_z(Jx, Jy):
    """log Z of an open strip by its transfer matrix; `Jx` (L − 1, W) along, `Jy` (L, W − 1) across."""
    length, width = len(Jy), Jx.shape[1]
    s = 1.0 - 2.0 * ((np.arange(2**width)[:, None] >> np.arange(width)) & 1)
    v, logs = np.ones(2**width), []
    for x in range(length):
        for y in range(width if x else 0):
            w, K = v.reshape(-1, 2, 2**y), Jx[x - 1, y]
            a, b = np.exp(K - abs(K)), np.exp(-K - abs(K))
            v = np.stack([a * w[:, 0] + b * w[:, 1], b * w[:, 0] + a * w[:, 1]], 1).ravel()
            logs.append(abs(K))
        across = (s[:, 1:] * s[:, :-1]) @ Jy[x]
        logs += [across.max(), np.log(v.max())]
        v = v / v.max() * np.exp(across - across.max())
    return math.fsum([*logs, np.log(v.sum())])


@st.composite
def planar_magnets(draw):
    """Edges of a random planar graph on at most 12 sites (parts of triangulations, trees, cycles), and couplings."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 12))
    if n >= 4 and draw(st.booleans()):
        corners = Delaunay(rng.random((n, 2))).simplices
        edges = np.unique(np.sort(corners[:, [[0, 1], [1, 2], [0, 2]]].reshape(-1, 2)), axis=0)
        edges = edges[rng.random(len(edges)) < draw(st.sampled_from([0.3, 0.7, 1.0]))]
    else:
        edges = np.array([(rng.integers(i), i) for i in range(1, n)], np.int64).reshape(-1, 2)
    edges = rng.permutation(n)[edges]
    scale = draw(st.sampled_from([0.0, 0.3, 1.0, 3.0, 8.0]))
    K = scale * (rng.choice([-1.0, 1.0], len(edges)) if draw(st.booleans()) else rng.normal(size=len(edges)))
    spread = 10.0 ** rng.integers(-2, 2, len(edges)) * (rng.random(len(edges)) < 0.8)
    return n, edges, K * spread if draw(st.booleans()) else K


@given(planar_magnets())
def test_planar_graphs_agree_with_enumeration(magnet):
    n, edges, K = magnet
    expected, correlations = enumerate_spins(n, edges, K)
    found = log_partition_planar(planar_graph(n, edges), K)
    assert abs(found.value - expected) <= found.error + 1e-15 * (np.abs(K).sum() + n)
    assert found.error < 1e-9
    np.testing.assert_allclose(found.correlations, correlations, atol=1e-9)


@given(planar_magnets(), st.integers(0, 2**32 - 1))
def test_a_gauge_flip_and_any_reference_change_nothing(magnet, seed):
    n, edges, K = magnet
    flip = np.random.default_rng(seed).choice([-1.0, 1.0], n)
    graph, turn = planar_graph(n, edges), flip[edges[:, 0]] * flip[edges[:, 1]]
    a, b = log_partition_planar(graph, K), log_partition_planar(graph, K * turn)
    c = log_partition_planar(graph, K, reference=flip, tolerance=math.inf)
    assert abs(a.value - b.value) <= a.error + b.error
    assert abs(a.value - c.value) <= a.error + c.error
    np.testing.assert_allclose(a.correlations, b.correlations * turn, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "shape"), [*(("square", s) for s in [(3, 3), (2, 4), (4, 3), (1, 6), (2, 2)]), ("triangular", (3, 4))]
)
def test_small_tori(kind, shape):
    for seed in range(4):
        magnet = cal.Ising.on(kind, shape, coupling="pm1" if seed % 2 else "gauss:1", beta=0.9, seed=seed)
        answer = log_z(magnet, cal.Planar(genus=3))  # merged double bonds may have no drawing on the torus itself
        truth = log_z(magnet, cal.Enumeration()).value
        assert answer.lower.value <= truth + 1e-13 * magnet.n
        assert answer.upper.value >= truth - 1e-13 * magnet.n
        np.testing.assert_allclose(
            cal.moments(magnet, cal.Planar(genus=3)).correlation,
            cal.moments(magnet, cal.Enumeration()).correlation,
            atol=1e-9,
        )


@pytest.mark.parametrize("beta", [0.3, 1.0, 2.0, 3.0, 5.0, 8.0])
@pytest.mark.parametrize("law", ["pm1", "gauss:1"])
def test_error_bars_hold_on_frustrated_strips(law, beta):
    right = 0
    for seed in range(3):
        magnet = cal.Ising.square((30, 8), coupling=law, beta=beta, periodic=False, seed=seed)
        K = beta * magnet.couplings
        along = magnet.edges[:, 1] - magnet.edges[:, 0] == 8
        expected = strip_log_z(K[along].reshape(29, 8), K[~along].reshape(30, 7))
        found = log_partition_planar(planar_graph(magnet.n, magnet.edges, magnet.lattice), K)
        assert abs(found.value - expected) <= found.error + 1e-15 * np.abs(K).sum()
        right += found.error < 1e-6
    assert right == 3 or beta > 5.0


def test_a_worse_reference_is_still_within_its_error():
    magnet = cal.Ising.square((16, 16), coupling="pm1", beta=6.0, periodic=False, seed=5)
    K = 6.0 * magnet.couplings
    graph = planar_graph(magnet.n, magnet.edges, magnet.lattice)
    best = log_partition_planar(graph, K)
    assert best.error < 1e-6
    random = np.random.default_rng(0)
    for _ in range(5):
        start = random.choice([-1.0, 1.0], magnet.n)
        other = log_partition_planar(graph, K, reference=start, tolerance=math.inf)
        assert abs(other.value - best.value) <= other.error + best.error


def test_duality_of_the_square_lattice():
    """Low temperature on the dual is high temperature here: sinh 2K sinh 2K* = 1, free against fixed boundaries."""
    L, K = 7, 0.35
    dual = -0.5 * math.log(math.tanh(K))
    free = log_z(cal.Ising.square((L, L), beta=K, periodic=False), cal.Planar()).value
    inner = cal.Ising.square((L - 1, L - 1), beta=dual, periodic=False)
    side = np.zeros((L - 1, L - 1))  # plaquettes at the rim are bound to the outer face: a field, once an edge
    side[0] += 1
    side[-1] += 1
    side[:, 0] += 1
    side[:, -1] += 1
    fixed = log_z(dataclasses.replace(inner, fields=side.ravel(), lattice=None), cal.Planar()).value
    bonds = 2 * L * (L - 1)
    # Σ over even subgraphs Π tanh K = 2^{-L²} Z / cosh^bonds K = e^{−bonds K*} Z_fixed
    assert free - L * L * math.log(2) - bonds * math.log(math.cosh(K)) == pytest.approx(fixed - bonds * dual, abs=1e-11)


@pytest.mark.parametrize(("kind", "shape"), [("square", (9, 7)), ("triangular", (6, 6)), ("honeycomb", (5, 6))])
def test_open_lattices_and_files_of_them(kind, shape, tmp_path):
    magnet = cal.Ising.on(kind, shape, coupling="gauss:1", beta=1.1, periodic=False, seed=4)
    truth = log_z(magnet, cal.Elimination())
    answer = log_z(magnet, cal.Planar())
    assert answer.value == pytest.approx(truth.value, abs=1e-11)
    cal.write_uai(magnet, tmp_path / "magnet.uai")
    read = log_z(cal.read_uai(tmp_path / "magnet.uai"), cal.Planar(), beliefs=True)
    assert read.value == pytest.approx(truth.value, abs=1e-9)
    full = log_z(cal.read_uai(tmp_path / "magnet.uai"), cal.Elimination(), beliefs=True)
    for a, b in zip(read.belief.factors, full.belief.factors, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_fields_on_one_face_are_edges_to_a_ghost():
    fields = np.zeros((5, 5))
    fields[0] = [0.3, -0.8, 0.0, 1.2, 0.5]
    magnet = cal.Ising.square((5, 5), coupling="pm1", field=fields.ravel(), beta=0.8, periodic=False, seed=2)
    assert log_z(magnet, cal.Planar()).value == pytest.approx(log_z(magnet, cal.Elimination()).value, abs=1e-12)
    with pytest.raises(Refusal, match="no beliefs"):
        cal.moments(magnet, cal.Planar())
    chain = cal.Ising.chain(6, coupling=0.7, field="gauss:1", beta=1.3, seed=1)
    a, b = cal.moments(chain, cal.Planar()), cal.moments(chain, cal.Elimination())
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-12)
    np.testing.assert_allclose(np.array(a.factors[:6]), np.array(b.factors[:6]), atol=1e-12)


def test_kaufman(shared_data):
    rows = list(csv.DictReader((shared_data / "ising" / "kaufman.csv").read_text().splitlines()))
    for row in [r for r in rows if int(r["L"]) <= 32]:
        magnet = cal.Ising.square(int(row["L"]), beta=1.0 / float(row["T"]))
        answer = log_z(magnet, cal.Planar())
        assert answer.value == pytest.approx(float(row["lnZ"]), rel=1e-13)
        assert answer.gap < 1e-10


def test_the_published_ferromagnet_from_its_file(shared_data):
    graph = cal.read_uai(shared_data / "uai" / "generated" / "ferro100_tc.uai")
    answer = log_z(graph, cal.Planar())
    assert answer.value == pytest.approx(9261.245198, abs=1e-6)
    assert answer.gap < 1e-8


def test_a_plan_is_used_again_for_other_couplings():
    graph = planar_graph(25, cal.Ising.square((5, 5), periodic=False).edges)
    for seed in range(3):
        magnet = cal.Ising.square((5, 5), coupling="gauss:1", periodic=False, seed=seed)
        truth = log_z(magnet, cal.Elimination()).value
        assert log_partition_planar(graph, magnet.couplings).value == pytest.approx(truth, abs=1e-12)


def test_correlations_are_the_gradient():
    magnet = cal.Ising.square((6, 6), coupling="gauss:1", periodic=False, seed=8)
    graph, step = planar_graph(36, magnet.edges), np.zeros(magnet.e)
    step[17] = 1e-5
    up, down = (log_partition_planar(graph, magnet.couplings + s * step).value for s in (1, -1))
    found = log_partition_planar(graph, magnet.couplings)
    assert found.correlations[17] == pytest.approx((up - down) / 2e-5, abs=1e-8)


def test_it_refuses_what_it_cannot_do():
    with pytest.raises(Refusal, match="genus"):
        log_z(cal.Ising.cubic(3), cal.Planar())
    with pytest.raises(Refusal, match="genus"):
        log_z(cal.Ising.square(4), cal.Planar(genus=0, across=0))
    with pytest.raises(Refusal, match="one more spin"):
        log_z(cal.Ising.square(8, field=0.1, periodic=False), cal.Planar())
    with pytest.raises(Refusal, match="binary"):
        log_z(cal.FactorGraph.from_tables((3,), [((0,), [1.0, 2.0, 4.0])]), cal.Planar())
    frozen = cal.Ising.square((40, 40), coupling="pm1", beta=30.0, periodic=False, seed=1)
    with pytest.raises(Refusal, match="rounding error could be"):
        log_z(frozen, cal.Planar())
    with pytest.raises(Refusal, match="allowed"):
        log_z(cal.Ising.square((40, 40), periodic=False), cal.Planar(), memory=1e5)
    with pytest.raises(PlanarError, match="genus"):
        planar_graph(5, np.array([(i, j) for j in range(5) for i in range(j)]))
    with pytest.raises(ValueError, match="genus is from 0 to 6"):
        cal.Planar(genus=-1)
    with pytest.raises(ValueError, match="across is from 0 to 16"):
        cal.Planar(across=17)


def test_it_names_the_extra_that_draws_graphs(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    wheel = cal.Ising.from_arrays(np.array([*((0, i) for i in range(1, 8)), *((i, i % 7 + 1) for i in range(1, 8))]))
    with pytest.raises(Refusal, match=r"calipers\[graphs\]"):
        log_z(wheel, cal.Planar(across=0))
    lattice = cal.Ising.square((4, 4), periodic=False)
    assert log_z(lattice, cal.Planar()).exact


def test_a_cold_ferromagnet_is_no_problem():
    magnet = cal.Ising.square((20, 20), beta=40.0, periodic=False)
    answer = log_z(magnet, cal.Planar())
    assert answer.value == pytest.approx(40.0 * magnet.e + math.log(2.0), abs=1e-9)


def test_fronts_stay_small_on_graphs_in_many_pieces():
    random = np.random.default_rng(0)
    corners = Delaunay(random.random((2000, 2))).simplices
    edges = np.unique(np.sort(corners[:, [[0, 1], [1, 2], [0, 2]]].reshape(-1, 2)), axis=0)
    half = edges[random.random(len(edges)) < 0.5]
    for graph in (planar_graph(2000, edges), planar_graph(2000, half)):
        assert np.diff(graph.fronts.start).max() < 8 * math.sqrt(2000)
    whole = log_partition_planar(planar_graph(2000, half), np.full(len(half), 0.4))
    assert whole.error < 1e-9


@pytest.mark.parametrize("handles", [1, 2])
def test_edges_that_cannot_be_drawn_are_handles(handles):
    random = np.random.default_rng(handles)
    for seed in range(3):
        plane = cal.Ising.square((4, 5), coupling="gauss:1", periodic=False, seed=seed)
        extra = np.sort([random.choice(20, 2, replace=False) for _ in range(handles)], axis=1)
        edges = np.vstack([plane.edges, extra])
        magnet = cal.Ising.from_arrays(edges, np.append(plane.couplings, random.normal(size=handles)), beta=1.2)
        answer, truth = (log_z(magnet, m, beliefs=True) for m in (cal.Planar(genus=handles), cal.Elimination()))
        assert answer.stats["genus"] <= handles
        assert answer.value == pytest.approx(truth.value, abs=1e-11)
        np.testing.assert_allclose(answer.belief.factors[: magnet.e], truth.belief.factors[: magnet.e], atol=1e-10)
    with pytest.raises(Refusal, match="genus"):
        log_z(cal.Ising.complete(8), cal.Planar(genus=handles))  # its genus is 2, but no few edges make it planar


def test_log_z_is_differentiable_through_it():
    magnet = cal.Ising.square((4, 4), coupling="gauss:1", beta=0.7, periodic=False, seed=6)
    with jax.enable_x64(True):
        slope = jax.grad(lambda b: cal.log_partition(eqx.tree_at(lambda m: m.beta, magnet, b), cal.Planar()))(0.7)
    assert float(slope) == pytest.approx(magnet.couplings @ cal.moments(magnet).correlation, abs=1e-10)
