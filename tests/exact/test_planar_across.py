"""Fields at a few sites, and a few edges that cannot be drawn, against elimination; certificates of such values."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.spatial import Delaunay

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.exact.planar_across import draw_beside
from calipers.exact.planar_surface import faces, genus
from calipers.io.certificate import Certificate
from calipers_check import check


def agrees(magnet, method, across, tmp_path=None):
    """Value within the error, beliefs, and the certificate if there is a place for it."""
    answer, truth = log_z(magnet, method, beliefs=True), log_z(magnet, cal.Elimination(), beliefs=True)
    assert answer.stats["across"] == across
    assert answer.lower.value <= truth.upper.value
    assert answer.upper.value >= truth.lower.value
    assert answer.gap < 1e-9
    if answer.belief is not None:
        for a, b in zip(answer.belief.factors, truth.belief.factors, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9)
    if tmp_path is not None:
        Certificate.from_answer(answer, magnet).save(tmp_path / "a.cert")
        verdict = check(tmp_path / "a.cert")
        assert verdict.accepted, verdict.reason
        assert {c.kind for c in verdict.claims} == {"planar"}
    return answer


@pytest.mark.parametrize(("law", "beta"), [("pm1", 0.7), ("gauss:1", 1.0), ("gauss:1", 0.2), (1.0, 2.0)])
@pytest.mark.parametrize("held", [[12], [0, 12], [6, 8, 16, 18, 24], [11, 13, 17]])
def test_fields_at_a_few_sites(law, beta, held, tmp_path):
    rng = np.random.default_rng(len(held))
    fields = np.zeros(25)
    fields[held] = rng.normal(size=len(held))
    magnet = cal.Ising.square((5, 5), coupling=law, field=fields, beta=beta, periodic=False, seed=3)
    across = {1: 0, 2: 1, 5: 3, 3: 0}[len(held)]
    if len(held) == 3:
        across = log_z(magnet, cal.Planar()).stats["across"]
        assert across <= 1
    agrees(magnet, cal.Planar(), across, tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_edges_that_cannot_be_drawn(seed, tmp_path):
    rng = np.random.default_rng(seed)
    corners = Delaunay(rng.random((14, 2))).simplices
    edges = np.unique(np.sort(corners[:, [[0, 1], [1, 2], [0, 2]]].reshape(-1, 2)), axis=0)
    others = [e for e in itertools.combinations(range(14), 2) if list(e) not in edges.tolist()]
    more = np.array([others[k] for k in rng.choice(len(others), 3, replace=False)])
    magnet = cal.Ising.from_arrays(np.vstack([edges, more]), rng.normal(size=len(edges) + 3), beta=0.8)
    answer = log_z(magnet, cal.Planar())
    assert answer.stats["across"] <= 4  # three would do
    agrees(magnet, cal.Planar(), answer.stats["across"], tmp_path)


def test_a_grid_with_edges_across_from_a_file(tmp_path):
    plane = cal.Ising.square((6, 6), coupling="gauss:1", beta=0.9, periodic=False, seed=1)
    more = [(0, 35), (8, 21), (14, 19)]  # along the rim, a knight's move, and a cell's diagonal
    edges, fields = np.vstack([plane.edges, more]), np.zeros(36)
    fields[[7, 28]] = 0.4, -0.3
    magnet = cal.Ising.from_arrays(edges, np.append(plane.couplings, [1.0, -0.7, 0.3]), fields, beta=0.9)
    cal.write_uai(magnet, tmp_path / "m.uai")
    agrees(magnet, cal.Planar(), 2)
    answer = agrees(cal.read_uai(tmp_path / "m.uai"), cal.Planar(), 2, tmp_path)
    assert "across it" in str(cal.Planar().plan(magnet))
    assert answer.value == pytest.approx(log_z(magnet, cal.Planar()).value, abs=1e-9)


def test_both_diagonals_of_a_few_cells():
    plane = cal.Ising.square((5, 6), coupling="gauss:1", periodic=False, seed=2)
    crossing = [(i, i + 7) for i in (0, 8, 15)] + [(i + 1, i + 6) for i in (0, 8, 15)]
    magnet = cal.Ising.from_arrays(np.vstack([plane.edges, crossing]), np.append(plane.couplings, np.ones(6)))
    agrees(magnet, cal.Planar(), log_z(magnet, cal.Planar()).stats["across"])
    assert log_z(magnet, cal.Planar()).stats["across"] <= 3


@pytest.mark.parametrize(("graph", "across"), [("K5", 1), ("K33", 1), ("petersen", 2), ("K6", 3)])
def test_small_graphs_of_known_skewness(graph, across, tmp_path):
    pairs = {
        "K5": list(itertools.combinations(range(5), 2)), "K6": list(itertools.combinations(range(6), 2)),
        "K33": [(i, j) for i in range(3) for j in range(3, 6)],
        "petersen": [(i, (i + 1) % 5) for i in range(5)] + [(i, i + 5) for i in range(5)]
        + [(5 + i, 5 + (i + 2) % 5) for i in range(5)],
    }[graph]  # fmt: skip
    for J in (np.ones(len(pairs)), -np.ones(len(pairs)), np.random.default_rng(0).normal(size=len(pairs))):
        magnet = cal.Ising.from_arrays(np.array(pairs), J, beta=0.6)
        answer = log_z(magnet, cal.Planar(genus=0))
        assert across <= answer.stats["across"] <= across + 1  # no promise that it is the least
        agrees(magnet, cal.Planar(genus=0), answer.stats["across"], tmp_path)


def test_a_correlation_that_vanishes_by_symmetry(tmp_path):
    """A frustrated square: its opposite corners are uncorrelated, so the Pfaffian with signs along the path is zero."""
    ring, fields = [(0, 1), (1, 2), (2, 3), (0, 3)], np.array([0.5, 0.0, 0.5, 0.0, 0.3])
    edges = [*ring, (0, 4), (1, 4), (2, 4), (3, 4)]
    magnet = cal.Ising.from_arrays(np.array(edges), [1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0], fields)
    agrees(magnet, cal.Planar(), log_z(magnet, cal.Planar()).stats["across"], tmp_path)


@pytest.mark.parametrize("seed", range(60))
def test_random_magnets_agree_with_enumeration(seed, tmp_path):
    """Any graph of up to ten spins, in pieces or not, with zeros, equal couplings and fields, warm and cold."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 11))
    pairs = [(0, 1), *(e for e in itertools.combinations(range(n), 2) if e != (0, 1) and rng.random() < 0.5)]
    J = rng.normal(size=len(pairs)) if seed % 2 else rng.choice([-1.0, 0.0, 1.0], len(pairs))
    h = np.where(rng.random(n) < rng.choice([0, 0.3, 0.6]), rng.choice([0.7, 1.0, -1.0]), 0.0)
    magnet = cal.Ising.from_arrays(np.array(pairs), J, h, beta=float(rng.choice([0.1, 0.5, 1.0, 2.0])))
    method, truth = cal.Planar(genus=seed % 3, across=10), log_z(magnet, cal.Enumeration(), beliefs=True)
    answer = log_z(magnet, method, beliefs=True)
    assert answer.lower.value <= truth.upper.value
    assert answer.upper.value >= truth.lower.value
    if answer.belief is not None:
        for a, b in zip(answer.belief.factors, truth.belief.factors, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-7)
    if answer.stats["across"] < 5:
        Certificate.from_answer(answer, magnet).save(tmp_path / "a.cert")
        verdict = check(tmp_path / "a.cert")
        assert verdict.accepted, verdict.reason


def test_pieces_tori_and_trees(tmp_path):
    torus = cal.Ising.square((4, 5), coupling="gauss:1", beta=0.7, seed=4)
    fields = np.zeros(20)
    fields[[0, 7]] = 0.6, -1.1
    agrees(dataclasses.replace(torus, fields=fields), cal.Planar(), 1)
    two = np.vstack([torus.edges[:0], [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (6, 7)]])
    magnet = cal.Ising.from_arrays(two, np.linspace(-1, 1, 7), np.array([0.5, 0, 0.1, -0.4, 0, 0, 0.3, 0.2, 1.0]))
    agrees(magnet, cal.Planar(), 0, tmp_path)


def test_rotations_are_planar_whatever_was_put_in():
    rng = np.random.default_rng(3)
    for seed in range(10):
        grid = cal.Ising.square((7, 8), periodic=False)
        held = rng.choice(56, 6, replace=False)
        edges = np.vstack([grid.edges, np.stack([held, np.full(6, 56)], 1)])
        found = draw_beside(57, edges, grid.lattice, 0, 6, 56)
        assert found is not None, seed
        assert genus(found.rotation, 1) == 0
        assert faces(found.rotation)[1] == 2 - 57 + len(found.drawn)
        assert sorted([*found.drawn, *found.across]) == list(range(len(edges)))


def test_it_refuses_more_than_it_may_leave_out():
    fields = np.zeros(100)
    fields[[11, 14, 18, 41, 44, 48, 71, 74, 78, 55, 33]] = 0.3
    magnet = cal.Ising.square((10, 10), field=fields, periodic=False)
    with pytest.raises(Refusal, match="leaves out at most 8 edges"):
        log_z(magnet, cal.Planar())
    assert log_z(magnet, cal.Planar(across=10)).value == pytest.approx(log_z(magnet, cal.Elimination()).value, abs=1e-9)
    with pytest.raises(Refusal, match="left across"):
        cal.sample(
            dataclasses.replace(magnet, fields=np.where(np.arange(100) < 15, fields, 0.0)),
            2,
            seed=0,
            method=cal.Planar(),
        )
