"""Closed forms: equal to the sum over all states, and refused for every model that is not quite of the form."""

import itertools

import forge
import numpy as np
import pytest
from test_checker_forgeries import proved, reason

SPIN = np.array([1.0, -1.0])


def form(name, sites=None):
    arrays = {"form": np.frombuffer(name.encode(), np.uint8)}
    return arrays if sites is None else arrays | {"sites": np.ascontiguousarray(sites, np.int64)}


def torus(m, n, down, right, sites=None):
    """Couplings of a periodic lattice; a side of two has double bonds, added up."""
    sites = np.arange(m * n).reshape(m, n) if sites is None else np.asarray(sites)
    found: dict = {}
    for r, c in itertools.product(range(m), range(n)):
        for other, J in ((sites[(r + 1) % m, c], down), (sites[r, (c + 1) % n], right)):
            pair = tuple(sorted((int(sites[r, c]), int(other))))
            found[pair] = found.get(pair, 0.0) + J
    edges = sorted(found)
    return edges, [found[e] for e in edges], sites


def summed(n, edges, couplings, fields, beta, offset=0.0):
    scopes = [*edges, *((i,) for i in range(n))]
    logs = [J * np.outer(SPIN, SPIN) for J in couplings] + [h * SPIN for h in fields]
    return forge.enumerate_log_z([2] * n, scopes, logs, (), beta) - beta * offset


SHAPES = [(2, 2), (2, 3), (3, 2), (3, 3), (2, 5), (4, 3), (3, 4), (2, 6)]
BONDS = [(0.4, 0.4), (0.7, 0.2), (0.1, 1.3), (1.5, 1.5), (0.01, 0.02), (3.0, 0.44)]


@pytest.mark.parametrize("shape", SHAPES)
def test_tori_are_summed(tmp_path, shape):
    for k, (down, right) in enumerate(BONDS):
        edges, couplings, sites = torus(shape[0], shape[1], down, right)
        n = sites.size
        model = forge.ising_model(edges, couplings, np.zeros(n), 0.8, 0.3 * k)
        exact = summed(n, edges, couplings, np.zeros(n), 0.8, 0.3 * k)
        low, high = (
            proved(side, "closed_form", form("torus", sites), model, folder=tmp_path) for side in ("lower", "upper")
        )
        assert low <= high <= low + 1e-12
        assert low == pytest.approx(exact, abs=1e-11)


def test_sites_in_any_arrangement(tmp_path):
    sites = np.random.default_rng(0).permutation(12).reshape(3, 4)
    edges, couplings, _ = torus(3, 4, 0.5, 0.3, sites)
    model, exact = forge.ising_model(edges, couplings, np.zeros(12)), summed(12, edges, couplings, np.zeros(12), 1.0)
    for arranged in (sites, sites[::-1], np.roll(sites, 1, axis=1), sites.T):
        assert proved("lower", "closed_form", form("torus", arranged), model, folder=tmp_path) == pytest.approx(exact)


@pytest.mark.parametrize(("signs", "fine"), [((-1, 1), True), ((1, -1), False), ((-1, -1), False)])
def test_negative_bonds(tmp_path, signs, fine):
    """Four rows of three: a negative bond down the columns can be turned, one along the rows cannot."""
    edges, couplings, sites = torus(4, 3, 0.5 * signs[0], 0.3 * signs[1])
    model, exact = forge.ising_model(edges, couplings, np.zeros(12)), summed(12, edges, couplings, np.zeros(12), 1.0)
    if fine:
        assert proved("lower", "closed_form", form("torus", sites), model, folder=tmp_path) == pytest.approx(exact)
    else:
        assert "odd side" in reason(tmp_path, ("lower", "closed_form", "-99", form("torus", sites)), m=model)


@pytest.mark.parametrize("n", [2, 3, 5, 9])
def test_complete_graphs_are_summed(tmp_path, n):
    edges = list(itertools.combinations(range(n), 2))
    for K, h in ((0.3, 0.0), (-0.4, 0.2), (1.1, -0.7)):
        couplings, fields = [K] * len(edges), [h] * n
        model = forge.ising_model(edges, couplings, fields, 0.7, 1.5)
        exact = summed(n, edges, couplings, fields, 0.7, 1.5)
        low, high = (
            proved(side, "closed_form", form("complete"), model, folder=tmp_path) for side in ("lower", "upper")
        )
        assert low <= high <= low + 1e-12
        assert low == pytest.approx(exact, abs=1e-11)


def claim(witness, bound="-99"):
    return "lower", "closed_form", bound, witness


def test_tightened_claims(tmp_path):
    edges, couplings, sites = torus(3, 3, 0.5, 0.3)
    model = forge.ising_model(edges, couplings, np.zeros(9))
    value = proved("lower", "closed_form", form("torus", sites), model, folder=tmp_path)
    for side, nudge in (("lower", 1e-13), ("upper", -1e-13)):
        forged = (side, "closed_form", repr(value + nudge), form("torus", sites))
        assert "does not follow" in reason(tmp_path, forged, m=model)


def test_models_that_are_not_quite_tori(tmp_path):
    edges, couplings, sites = torus(3, 4, 0.5, 0.3)
    witness = claim(form("torus", sites))
    for a in (0, 5, 23):
        other = [J + (np.spacing(J) if b == a else 0.0) for b, J in enumerate(couplings)]
        assert "all the same" in reason(tmp_path, witness, m=forge.ising_model(edges, other, np.zeros(12)))
    field = np.zeros(12)
    field[7] = 5e-324
    assert "field" in reason(tmp_path, witness, m=forge.ising_model(edges, couplings, field))
    fewer = forge.ising_model(edges[1:], couplings[1:], np.zeros(12))
    assert "not those of a torus" in reason(tmp_path, witness, m=fewer)
    moved = [e for e in edges if e != (0, 1)]
    moved = sorted([*moved, (0, 5)])
    assert "not those of a torus" in reason(tmp_path, witness, m=forge.ising_model(moved, couplings, np.zeros(12)))
    none, zero, _ = torus(3, 4, 0.5, 0.0)
    assert "not 0" in reason(tmp_path, witness, m=forge.ising_model(none, zero, np.zeros(12)))


def test_arrangements_that_are_none(tmp_path):
    edges, couplings, sites = torus(3, 4, 0.5, 0.3)
    model = forge.ising_model(edges, couplings, np.zeros(12))
    twice = sites.copy()
    twice[0, 0] = 1
    for wrong in (
        twice,
        sites + 1,
        sites[:2],
        sites.ravel(),
        sites[None, 0],
        sites.reshape(12, 1),
        sites.reshape(1, 12),
    ):
        assert "rows and columns" in reason(tmp_path, claim(form("torus", wrong)), m=model)
    assert "not those of a torus" in reason(tmp_path, claim(form("torus", sites.reshape(4, 3))), m=model)
    reason(tmp_path, claim(form("torus", sites.astype(float)) | {"sites": sites.astype(float)}), m=model)
    reason(tmp_path, claim(form("torus")), m=model)
    for name in ("", "chain", "torus\x1b[2J", "Torus"):
        assert "unknown" in reason(tmp_path, claim(form(name, sites)), m=model)
    reason(tmp_path, claim({"sites": sites}), m=model)
    reason(tmp_path, claim({"form": np.zeros(3)}), m=model)


def test_graphs_that_are_not_quite_complete(tmp_path):
    edges = list(itertools.combinations(range(4), 2))
    for couplings, fields, said in (
        ([0.3] * 5, [0.1] * 4, "complete"),
        ([0.3] * 5 + [0.3000000000000001], [0.1] * 4, "couplings"),
        ([0.3] * 6, [0.1] * 3 + [0.2], "fields"),
    ):
        model = forge.ising_model(edges[: len(couplings)], couplings, fields)
        assert said in reason(tmp_path, claim(form("complete")), m=model)
    assert "complete" in reason(tmp_path, claim(form("complete")), m=forge.ising_model([], [], [0.0]))
    assert "complete" in reason(tmp_path, claim(form("complete")), m=forge.ising_model([], [], []))


def test_other_kinds_of_models(tmp_path):
    m = forge.tables_model([2, 2], [(0, 1)], [np.zeros((2, 2))])
    assert "Ising" in reason(tmp_path, claim(form("complete")), m=m)
    kind, parts = forge.ising_model([(0, 1)], [0.4], [0.0, 0.0])
    observed = kind, parts | {"evidence": np.array([[0, 1]], np.int64)}
    assert "evidence" in reason(tmp_path, claim(form("complete")), m=observed)
