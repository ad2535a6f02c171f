"""Pfaffians: equal to the sum over all states for every drawing, on whatever surface it is; false drawings refused."""

import itertools

import forge
import numpy as np
import pytest
from test_checker_forgeries import proved, reason

from calipers_check import check

SPIN = np.array([1.0, -1.0])


def by_angle(points, edges):
    """The rotation of a graph drawn with straight edges."""
    edges = np.asarray(edges)
    steps = points[edges[:, ::-1].ravel()] - points[edges.ravel()]
    return cyclic(edges.ravel(), np.arctan2(steps[:, 1], steps[:, 0]))


def cyclic(origin, key):
    """The rotation in which the darts of a site follow each other by `key`."""
    rotation = np.empty(len(origin), np.int64)
    for v in np.unique(origin):
        darts = np.flatnonzero(origin == v)
        darts = darts[np.argsort(key[darts])]
        rotation[darts] = np.roll(darts, -1)
    return rotation


def faces(rotation):
    """One dart of each face."""
    inverse, seen, found = np.argsort(rotation), set(), []
    for h in range(len(rotation)):
        if h not in seen:
            found.append(h)
        while h not in seen:
            seen.add(h)
            h = int(inverse[h ^ 1])
    return found


def planar(n, edges, rotation, rng=None, extra=(), kept=None, **changes):
    """A witness that merges one face after another; in any order, and around any spins, if `rng` is given."""
    rng = np.random.default_rng(0) if rng is None else rng
    first, *rest = rng.permutation(faces(rotation)) if len(rotation) else [-2]
    order = [] if first == -2 else [first, *itertools.chain.from_iterable((h, -1) for h in rest)]
    arrays = forge.cut("kept", [[0, 1]] * n if kept is None else kept)
    named = {"edges": np.reshape(edges, (-1, 2)), "rotation": rotation, "order": order}
    named |= {"reference": rng.choice([-1, 1], n + 1), "extra": np.reshape(extra, (-1, 2))}
    return arrays | {name: np.ascontiguousarray(array, np.int64) for name, array in (named | changes).items()}


def plane(rng, rows=3, columns=3):
    """Points of a grid, with some of its edges and of one diagonal of its cells."""
    points = np.array([(r, c) for r in range(rows) for c in range(columns)], float)
    pairs = list(itertools.combinations(range(rows * columns), 2))
    steps = [points[j] - points[i] for i, j in pairs]
    near = [pair for pair, step in zip(pairs, steps, strict=True) if tuple(step) in {(0, 1), (1, 0), (1, 1)}]
    return points, [pair for pair in near if rng.random() < 0.8]


def summed(n, edges, couplings, fields, beta=1.0):
    scopes = [*edges, *((i,) for i in range(n))]
    logs = [J * np.outer(SPIN, SPIN) for J in couplings] + [h * SPIN for h in fields]
    return forge.enumerate_log_z([2] * n, scopes, logs, (), beta)


def both(model, witness, folder):
    return tuple(proved(side, "planar", witness, model, folder=folder) for side in ("lower", "upper"))


def is_the_sum(bracket, exact):
    low, high = bracket
    assert low <= high <= low + 1e-13 * (1 + abs(low))
    assert low == pytest.approx(exact, abs=1e-11, rel=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_plane_graphs_are_summed(tmp_path, seed):
    rng = np.random.default_rng(seed)
    points, edges = plane(rng)
    couplings = rng.normal(size=len(edges)) * (0.3, 1.0, 6.0)[seed % 3]
    model = forge.ising_model(edges, couplings, np.zeros(9), 0.7)
    witness = planar(9, edges, by_angle(points, edges), rng)
    is_the_sum(both(model, witness, tmp_path), summed(9, edges, couplings, np.zeros(9), 0.7))


@pytest.mark.parametrize("seed", range(12))
def test_any_rotation_is_a_drawing_on_some_surface(tmp_path, seed):
    """K5, K33 and others by random rotations: genus up to 3, 64 Pfaffians."""
    rng = np.random.default_rng(seed)
    n, chance = ((4, 1.0), (5, 1.0), (6, 0.6), (7, 0.5))[seed % 4]
    edges = [pair for pair in itertools.combinations(range(n), 2) if rng.random() < chance]
    couplings = rng.normal(size=len(edges))
    rotation = cyclic(np.ravel(edges), rng.random(2 * len(edges)))
    model = forge.ising_model(edges, couplings, np.zeros(n))
    is_the_sum(both(model, planar(n, edges, rotation, rng), tmp_path), summed(n, edges, couplings, np.zeros(n)))


def test_a_torus(tmp_path):
    edges, angles = [], []
    for r, c in itertools.product(range(3), range(3)):
        edges += [(3 * r + c, 3 * r + (c + 1) % 3), (3 * r + c, 3 * ((r + 1) % 3) + c)]
        angles += [0, 2, 1, 3]
    rng = np.random.default_rng(1)
    pairs = [tuple(sorted(e)) for e in edges]
    couplings = dict(zip(pairs, rng.choice([-1.0, 1.0], 18), strict=True))
    model = forge.ising_model(sorted(couplings), [couplings[e] for e in sorted(couplings)], np.zeros(9), 0.9)
    rotation = cyclic(np.ravel(edges), np.array(angles))
    exact = summed(9, pairs, [couplings[e] for e in pairs], np.zeros(9), 0.9)
    is_the_sum(both(model, planar(9, edges, rotation), tmp_path), exact)


@pytest.mark.parametrize("seed", range(4))
def test_fields_are_edges_to_the_ghost_or_summed_over(tmp_path, seed):
    rng = np.random.default_rng(seed)
    edges = plane(rng, 2, 4)[1]
    held = [0, 2, 3, 5, 7]
    fields = np.zeros(8)
    fields[held] = rng.normal(size=5)
    couplings = rng.normal(size=len(edges))
    model, exact = forge.ising_model(edges, couplings, fields), summed(8, edges, couplings, fields)
    used = {v for e in edges for v in e}
    drawn = [*edges, (min(used), 8), (max(used), 8)]
    rotation = cyclic(np.ravel(drawn), rng.random(2 * len(drawn)))  # of whatever genus
    extra = [(i, 8) for i in held if (i, 8) not in drawn and i in used]
    low, high = both(model, planar(8, drawn, rotation, rng, extra), tmp_path)
    lone = sum(abs(fields[i]) for i in held if i not in used)
    assert low - 1e-12 <= exact <= high + 1e-12
    assert high - low == pytest.approx(2 * lone, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_edges_across_are_summed_over(tmp_path, seed):
    rng = np.random.default_rng(seed)
    points, edges = plane(rng)
    across = [(0, 5), (2, 6), (1, 8)]
    extra = [e for e in across if all(any(v in f for f in edges) for v in e)]
    every = sorted([*edges, *across])
    couplings = rng.normal(size=len(every))
    model, exact = forge.ising_model(every, couplings, np.zeros(9)), summed(9, every, couplings, np.zeros(9))
    low, high = both(model, planar(9, edges, by_angle(points, edges), rng, extra), tmp_path)
    left = sum(abs(J) for J, e in zip(couplings, every, strict=True) if e in across and e not in extra)
    assert low - 1e-12 <= exact <= high + 1e-12
    assert high - low == pytest.approx(2 * left, abs=1e-12)


def test_edges_without_coupling_may_be_drawn(tmp_path):
    """Loops, double edges, and edges that are not in the model."""
    rng = np.random.default_rng(5)
    model = forge.ising_model([(0, 1), (1, 2)], [0.7, -0.4], np.zeros(4))
    exact = summed(4, [(0, 1), (1, 2)], [0.7, -0.4], np.zeros(4))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drawn = [(0, 1), (1, 1), (1, 0), (2, 1), (0, 2), (1, 1), (2, 2)]
        rotation = cyclic(np.ravel(drawn), rng.random(14))
        is_the_sum(both(model, planar(4, drawn, rotation, rng), tmp_path), exact)
    is_the_sum(both(forge.ising_model([], [], [0.0, 0.0]), planar(2, [], np.zeros(0)), tmp_path), 2 * np.log(2))


def test_tables_with_evidence_and_files(tmp_path):
    K, L = 0.3 * np.outer(SPIN, SPIN), np.array([[-np.inf, 0.2], [0.1, -np.inf]])
    three = np.zeros((2, 2, 3)) + np.arange(3)
    scopes, logs = [(0, 1), (1, 2), (3, 0), (0, 1, 4)], [K, K - 1.0, L, three]
    model = forge.tables_model([2, 2, 2, 2, 3], scopes, logs, [(3, 1), (4, 2)])
    exact = forge.enumerate_log_z([2, 2, 2, 2, 3], scopes, logs, [(3, 1), (4, 2)])
    kept = [[0], [0, 1], [0, 1], [1], [2]]  # 3 is observed, 0 follows: it leaves a field on 1
    drawn = [(1, 2), (1, 5)]
    witness = planar(5, drawn, cyclic(np.ravel(drawn), np.arange(4)), kept=kept)
    is_the_sum(both(model, witness, tmp_path), exact)
    text = "MARKOV 2 2 2 1 2 0 1 4 .1 3 3 .1"
    alone = planar(2, [(0, 1)], np.arange(2))
    is_the_sum(both(forge.uai_model(text), alone, tmp_path), np.log(6.2))
    for wrong, said in (([[0], [0, 1], [0], [1], [2]], "drops state"), ([[0], [0, 1], [0, 1], [1], [1]], "drops")):
        assert said in reason(
            tmp_path, ("upper", "planar", "99", planar(5, drawn, witness["rotation"], kept=wrong)), m=model
        )
    free = [[0, 1], [0, 1], [0, 1], [0], [2]]
    said = reason(tmp_path, ("lower", "planar", "-99", planar(5, drawn, witness["rotation"], kept=free)), m=model)
    assert "evidence" in said


def square():
    edges = [(0, 1), (0, 2), (1, 3), (2, 3)]
    return forge.ising_model(edges, [0.5, 0.25, -1.0, 0.75], np.zeros(4)), edges, cyclic(np.ravel(edges), np.arange(8))


def test_tightened_claims(tmp_path):
    model, edges, rotation = square()
    witness = planar(4, edges, rotation)
    low, high = both(model, witness, tmp_path)
    for side, claim in (("lower", low + 1e-13), ("upper", high - 1e-13)):
        assert "does not follow" in reason(tmp_path, (side, "planar", repr(claim), witness), m=model)
    fewer = planar(4, edges[:3], cyclic(np.ravel(edges[:3]), np.arange(6)))
    assert "does not follow" in reason(tmp_path, ("lower", "planar", repr(low - 0.7), fewer), m=model)
    signs = planar(4, edges, rotation, reference=np.ones(5))
    is_the_sum(both(model, signs, tmp_path), low)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rotation": np.zeros(8)}, "no permutation"),
        ({"rotation": np.arange(1, 9)}, "no permutation"),
        ({"rotation": np.arange(6)}, "no permutation"),
        ({"rotation": np.arange(8)}, "one site at a time"),
        ({"rotation": np.roll(np.arange(8), 1)}, "one site at a time"),
        ({"order": []}, "together"),
        ({"order": [0, 1]}, "together"),
        ({"order": [0]}, "together"),
        ({"order": [0, -1]}, "not there"),
        ({"order": [0, 0, -1]}, "named before"),
        ({"order": [0, 8, -1]}, "does not exist"),
        ({"order": [0, -2, -1]}, "does not exist"),
        ({"reference": np.ones(4)}, "one spin"),
        ({"reference": [1, 1, 1, 1, 0]}, "one spin"),
        ({"edges": np.array([(0, 1), (0, 2), (1, 3), (2, 5)])}, "ends at no spin"),
        ({"edges": np.array([(0, 1), (0, 2), (1, 3), (-1, 3)])}, "ends at no spin"),
        ({"edges": np.array([(0, 1), (0, 2), (1, 3), (1, 3)])}, "one site at a time"),
        ({"extra": np.array([(0, 6)])}, "ends at no spin"),
        ({"extra": np.array([(0, 4)])}, "does not connect"),
        ({"extra": np.array([(0, 3)] * 13)}, "4096"),
        ({"kept_start": np.array([0, 2, 4, 6])}, "cut"),
    ],
)
def test_drawings_that_are_none(tmp_path, changes, said):
    model, edges, rotation = square()
    changes = {name: np.asarray(array, np.int64) for name, array in changes.items()}
    assert said in reason(tmp_path, ("lower", "planar", "-99", planar(4, edges, rotation) | changes), m=model)


def test_models_that_are_no_magnets(tmp_path):
    lone = planar(1, [], np.zeros(0), kept=[[0, 1, 2]])
    assert "more than two states" in reason(
        tmp_path, ("lower", "planar", "-99", lone), m=forge.tables_model([3], [(0,)], [np.zeros(3)])
    )
    three = planar(3, [(0, 1)], np.arange(2))
    model = forge.tables_model([2, 2, 2], [(0, 1, 2)], [np.zeros((2, 2, 2))])
    assert "more than two spins" in reason(tmp_path, ("lower", "planar", "-99", three), m=model)
    hard = forge.tables_model([2, 2], [(0, 1)], [[[0.0, -np.inf], [1.0, 0.0]]])
    assert "zero" in reason(tmp_path, ("lower", "planar", "-99", planar(2, [(0, 1)], np.arange(2))), m=hard)


def test_too_much_work(tmp_path):
    rng = np.random.default_rng(0)
    points, edges = plane(rng, 6, 6)
    model = forge.ising_model(edges, np.ones(len(edges)), np.zeros(36))
    witness = planar(36, edges, by_angle(points, edges))
    path = forge.seal(tmp_path / "big.cert", *forge.draft(model, ("lower", "planar", "0", witness)))
    assert check(path).accepted
    verdict = check(path, work=1000)
    assert not verdict.accepted
    assert "--work" in verdict.reason
