"""Lattices and graphs: counts, degrees, periodic sides of length 1 and 2, laws and their stream."""

from collections import Counter

import numpy as np
import pytest

from calipers.models.ising import Ising
from calipers.models.laws import Law, draw, parse_law
from calipers.models.random_graphs import random_regular


def degrees(model: Ising) -> set[int]:
    return set(np.bincount(model.edges.ravel(), minlength=model.n).tolist())


@pytest.mark.parametrize(
    ("model", "n", "e", "degree"),
    [
        (Ising.chain(5), 5, 5, {2}),
        (Ising.chain(5, periodic=False), 5, 4, {1, 2}),
        (Ising.square((3, 4)), 12, 24, {4}),
        (Ising.square((3, 4), periodic=False), 12, 17, {2, 3, 4}),
        (Ising.triangular(4), 16, 48, {6}),
        (Ising.triangular((3, 4), periodic=False), 12, 23, {2, 3, 4, 6}),
        (Ising.honeycomb((3, 4)), 24, 36, {3}),
        (Ising.honeycomb((2, 2)), 8, 12, {3}),
        (Ising.honeycomb((2, 2), periodic=False), 8, 8, {1, 2, 3}),
        (Ising.cubic(3), 27, 81, {6}),
        (Ising.hypercubic(3, 3, 3, 3), 81, 324, {8}),
        (Ising.complete(6), 6, 15, {5}),
        (Ising.sherrington_kirkpatrick(6), 6, 15, {5}),
        (Ising.random_regular(3, 20, seed=5), 20, 30, {3}),
    ],
)
def test_counts_and_degrees(model, n, e, degree):
    assert (model.n, model.e, degrees(model)) == (n, e, degree)


def test_a_periodic_side_of_two_has_one_bond_of_twice_the_coupling():
    pair = Ising.chain(2, coupling=-1.5)
    assert (pair.edges.tolist(), pair.couplings.tolist()) == ([[0, 1]], [-3.0])
    square = Ising.square(2)
    assert (square.e, square.couplings.tolist()) == (4, [2.0] * 4)
    strip = Ising.square((2, 3))
    assert sorted(strip.couplings.tolist()) == [1.0] * 6 + [2.0] * 3
    assert Ising.square(2, periodic=False).couplings.tolist() == [1.0] * 4
    drawn = Ising.chain(2, coupling="pm1", seed=3).couplings
    assert drawn == [(2.0 * np.random.default_rng(3).integers(0, 2, 2) - 1).sum()]


@pytest.mark.parametrize("periodic", [True, False])
def test_a_side_of_one_has_no_bond(periodic):
    chain = Ising.chain(5, periodic=periodic)
    for model in (Ising.square((1, 5), periodic=periodic), Ising.triangular((5, 1), periodic=periodic)):
        assert model.edges.tolist() == chain.edges.tolist()
        assert model.couplings.tolist() == chain.couplings.tolist()
    assert Ising.chain(1, periodic=periodic).e == 0


def test_the_triangular_lattice_of_two_by_two_is_complete():
    model = Ising.triangular(2)
    assert (model.e, model.couplings.tolist()) == (6, [2.0] * 6)


def test_brick_walls_have_no_triangles_and_triangular_lattices_do():
    def triangles(model: Ising) -> int:
        a = np.zeros((model.n, model.n), np.int64)
        a[model.edges[:, 0], model.edges[:, 1]] = 1
        a += a.T
        return int(np.trace(a @ a @ a)) // 6

    assert triangles(Ising.honeycomb(4)) == 0
    assert triangles(Ising.triangular(5)) == 2 * 25


def test_the_stream_is_as_documented():
    rng = np.random.default_rng(7)
    model = Ising.square((3, 4), coupling="pm2", field="gauss:0.5", seed=7, periodic=False)
    couplings = 2 * (2.0 * rng.integers(0, 2, 17) - 1)
    assert model.fields.tolist() == (0.5 * rng.standard_normal(12)).tolist()
    rows = {
        (i, j): couplings[k] for k, (i, j) in enumerate([(4 * x + y, 4 * x + y + 4) for x in (0, 1) for y in range(4)])
    }
    found = dict(zip(map(tuple, model.edges.tolist()), model.couplings.tolist(), strict=True))
    assert {edge: found[edge] for edge in rows} == rows


def test_sherrington_kirkpatrick_couplings_have_variance_one_over_n():
    model = Ising.sherrington_kirkpatrick(400, beta=0.5, seed=1)
    assert abs(model.couplings.var() * 400 - 1) < 5 * np.sqrt(2 / model.e)
    assert abs(model.couplings.mean()) < 5 / np.sqrt(400 * model.e)


def test_couplings_may_be_given_bond_by_bond():
    model = Ising.chain(4, coupling=np.array([1.0, 2.0, 3.0, 4.0]), field=np.arange(4.0))
    assert model.edges.tolist() == [[0, 1], [0, 3], [1, 2], [2, 3]]
    assert model.couplings.tolist() == [1.0, 4.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"needs \(4,\)"):
        Ising.chain(4, coupling=np.ones(3))
    with pytest.raises(ValueError, match="fields"):
        Ising.chain(4, field=np.ones(3))


@pytest.mark.parametrize(("degree", "n"), [(0, 5), (1, 2), (2, 3), (3, 4), (3, 200), (4, 9), (7, 8), (6, 13), (20, 41)])
def test_regular_graphs_are_simple_and_regular(degree, n):
    for seed in range(5):
        ends = random_regular(degree, n, np.random.default_rng(seed))
        assert ends.shape == (degree * n // 2, 2)
        assert (ends[:, 0] < ends[:, 1]).all()
        assert len(set(map(tuple, ends.tolist()))) == len(ends)
        assert (np.bincount(ends.ravel(), minlength=n) == degree).all()


def test_small_regular_graphs_are_drawn_evenly():
    """The 2-regular graphs on 5 sites are the twelve 5-cycles."""
    rng = np.random.default_rng(0)
    graphs = [tuple(map(tuple, random_regular(2, 5, rng).tolist())) for _ in range(1200)]
    counts = np.array(list(Counter(graphs).values()))
    assert len(counts) == 12
    assert counts.min() > 50  # 100 expected
    assert counts.max() < 150


@pytest.mark.parametrize(
    ("text", "law"),
    [("-1", Law("", -1.0)), ("pm0.5", Law("pm", 0.5)), ("gauss:.5", Law("gauss:", 0.5)), ("1e-3", Law("", 0.001))],
)
def test_laws_are_read_and_printed(text, law):
    assert parse_law(text) == law
    assert parse_law(str(law)) == law


@pytest.mark.parametrize(
    "text", ["", "pm", "gauss", "gauss:-1", "pm-1", "nan", "1e999", "gauss:inf", "1_0", "one", "1,2"]
)
def test_what_is_no_law_is_refused(text):
    with pytest.raises(ValueError, match="expected a number"):
        parse_law(text)


def test_laws_draw_what_they_say():
    rng = np.random.default_rng(0)
    signs = draw("pm2", 10_000, rng, "couplings")
    assert set(signs.tolist()) == {-2.0, 2.0}
    assert abs(signs.mean()) < 5 * 2 / 100
    normal = draw(Law("gauss:", 3.0), 10_000, rng, "couplings")
    assert abs(normal.std() / 3 - 1) < 5 / np.sqrt(20_000)
    assert draw(1.5, 3, rng, "couplings").tolist() == [1.5] * 3


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Ising.square(0), "from 1 to"),
        (lambda: Ising.square((4, -1)), "from 1 to"),
        (lambda: Ising.square(10**6), "GB"),
        (lambda: Ising.square(10**400), "from 1 to"),
        (lambda: Ising.complete(10**7), "GB"),
        (lambda: Ising.cubic((2, 2)), "side"),
        (lambda: Ising.hypercubic(*[1] * 40), "side"),
        (lambda: Ising.on("kagome", 3), "kinds"),
        (lambda: Ising.complete(4, periodic=False), "boundary"),
        (lambda: Ising.random_regular(3, 5), "does not exist"),
        (lambda: Ising.random_regular(5, 5), "does not exist"),
        (lambda: Ising.chain(4, seed=-1), "seed"),
        (lambda: Ising.chain(4, coupling="pm"), "expected a number"),
        (lambda: Ising.chain(4, coupling=float("nan")), "expected a number"),
    ],
)
def test_what_cannot_be_built_is_refused_at_once(build, complaint):
    with pytest.raises(ValueError, match=complaint):
        build()
