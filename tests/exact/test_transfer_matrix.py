import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import factor_graphs

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Limits, Refusal
from calipers.exact import frontier, frontier_program, frontier_run
from calipers.exact.enumeration import enumerate_all
from calipers.exact.frontier_passes import Passes
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising

SPINS = np.array([1.0, -1.0])


def cylinder(rows: int, width: int, seed: int, field: float = 0.5, beta: float = 0.7) -> Ising:
    """Random couplings on rows that are closed, open at both ends."""
    rng = np.random.default_rng(seed)
    sites = np.arange(rows * width).reshape(rows, width)
    across = np.stack([sites.ravel(), np.roll(sites, -1, 1).ravel()], axis=1)
    along = np.stack([sites[:-1].ravel(), sites[1:].ravel()], axis=1)
    edges = [across, along]
    pairs = np.concatenate(edges)
    fields = field * rng.normal(size=rows * width)
    return Ising.from_arrays(pairs, rng.normal(size=len(pairs)), fields, beta)


@st.composite
def magnets(draw):
    """Random couplings, with fields or none, on graphs of at most ten spins: lattices, cylinders, tori, any edges."""
    seed, beta = draw(st.integers(0, 10**6)), draw(st.sampled_from([0.0, 0.3, 1.0, 5.0]))
    kind = draw(st.sampled_from(["square", "triangular", "honeycomb", "cylinder", "complete", "graph"]))
    field = draw(st.sampled_from([0.0, "gauss:1", 0.4]))
    if kind == "cylinder":
        return cylinder(3, 3, seed, 0.0 if field == 0.0 else 1.0, beta)
    if kind == "graph":
        rng = np.random.default_rng(seed)
        pairs = rng.integers(0, 9, (draw(st.integers(0, 20)), 2))
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        fields = np.zeros(9) if field == 0.0 else rng.normal(size=9)
        return Ising.from_arrays(pairs, rng.normal(size=len(pairs)), fields, beta, offset=0.3)
    shape = {"square": (3, 3), "triangular": (3, 3), "honeycomb": (2, 2), "complete": 7}[kind]
    periodic = kind == "complete" or draw(st.booleans())
    return Ising.on(kind, shape, coupling="gauss:1", field=field, beta=beta, periodic=periodic, seed=seed)


@settings(max_examples=120)
@given(magnets(), st.integers(1, 9))
def test_log_z_and_moments_agree_with_enumeration(magnet, most_bits):
    truth, error, marginals, factors = enumerate_all(magnet.factor_graph())
    answer = log_z(magnet, cal.TransferMatrix(most_bits=most_bits), beliefs=True)
    assert answer.lower.value - error <= truth <= answer.upper.value + error
    assert answer.gap < 1e-11 * max(1.0, abs(truth))
    for found, true in zip((*answer.belief.marginals, *answer.belief.factors), (*marginals, *factors), strict=True):
        np.testing.assert_allclose(found, true, rtol=0, atol=1e-10)


@settings(max_examples=60)
@given(factor_graphs())
def test_what_is_no_magnet_is_refused_and_what_is_one_is_right(graph):
    method = cal.TransferMatrix()
    try:
        answer = log_z(graph, method, beliefs=True)
    except Refusal:
        assert graph.evidence or any(k != 2 for k in graph.sizes) or any(len(s) > 2 for s in graph.scopes) or any(
            not np.isfinite(t).all() for t in graph.log_tables())  # fmt: skip
    else:
        truth, error, *_ = enumerate_all(graph)
        assert answer.lower.value - error <= truth <= answer.upper.value + error


@pytest.mark.parametrize("width", [8, 10, 12])
@pytest.mark.parametrize("periodic", [True, False])
def test_wide_strips_agree_with_elimination(width, periodic):
    magnet = cylinder(6, width, width) if periodic else Ising.square(
        (7, width), coupling="gauss:1", field="gauss:0.3", beta=0.8, periodic=False, seed=width)  # fmt: skip
    ours = log_z(magnet, cal.TransferMatrix(threads=2), beliefs=True)
    theirs = log_z(magnet, cal.Elimination(), beliefs=True)
    assert ours.value == pytest.approx(theirs.value, rel=1e-13)
    for a, b in zip(ours.belief.factors, theirs.belief.factors, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
    assert ours.stats["bits"] == (width if periodic else 7)


def test_vectors_longer_than_a_block_on_two_threads_and_with_few_kept():
    magnet = Ising.square((4, 17), coupling="gauss:1", field="gauss:0.3", beta=0.6, periodic=False, seed=5)
    turned = np.arange(magnet.n).reshape(4, 17)  # the bad order: row by row, 17 bits
    sweep = frontier.Sweep(list(frontier.lay_out(magnet.n, magnet.edges, turned.ravel())), (), turned.ravel(), 17, 0.0)
    assert max(s.bits for s in sweep.steps) == 17 > frontier_program.BLOCK_BITS
    truth = cal.moments(magnet, cal.Elimination())
    for threads, kept in ((1, 0), (2, 2), (1, 3)):
        value, error, mean, correlation = Passes.build(magnet, sweep, threads, kept).moments()
        assert abs(value - truth.answer.value) < 1e-11
        assert error < 1e-10
        np.testing.assert_allclose(mean, truth.mean, atol=1e-12)
        np.testing.assert_allclose(correlation, truth.correlation, atol=1e-12)


def test_the_frontier_of_a_strip_is_its_width():
    for magnet, bits in (
        (cylinder(7, 5, 0), 5),
        (Ising.square((9, 6), periodic=False), 6),
        (Ising.triangular((9, 6), periodic=False), 6),
        (Ising.square((7, 4)), 8),
        (Ising.chain(30, periodic=False), 1),
        (Ising.honeycomb((8, 4), periodic=False), 4),
    ):
        sweep = frontier.best_sweep(magnet.n, magnet.edges, magnet.lattice, 30, False)
        assert sweep.bits == bits
        assert sorted(sweep.order.tolist()) == list(range(magnet.n))


def test_the_flip_saves_a_bit_of_a_torus_without_field():
    magnet = Ising.square((5, 5))
    sweeps = [frontier.best_sweep(25, magnet.edges, magnet.lattice, 30, free) for free in (False, True)]
    assert (sweeps[0].bits, sweeps[0].clamped) == (9, ())
    assert (sweeps[1].bits, len(sweeps[1].clamped)) == (8, 1)


def test_kaufman(shared_data):
    import csv

    with open(shared_data / "ising" / "kaufman.csv") as file:
        rows = [r for r in csv.DictReader(file) if int(r["L"]) in (4, 8)]
    assert rows
    for row in rows:
        side = int(row["L"])
        answer = log_z(Ising.square((side, side), beta=1.0 / float(row["T"])), cal.TransferMatrix())
        assert answer.lower.value <= float(row["lnZ"]) <= answer.upper.value


def test_gauge_transpose_and_union():
    magnet = Ising.square((4, 6), coupling="gauss:1", field="gauss:0.5", beta=0.9, seed=1)
    value = log_z(magnet, cal.TransferMatrix()).value
    flip = np.random.default_rng(1).choice([-1.0, 1.0], magnet.n)
    turned = magnet.couplings * flip[magnet.edges].prod(axis=1)
    gauge = dataclasses.replace(magnet, couplings=turned, fields=magnet.fields * flip)
    assert log_z(gauge, cal.TransferMatrix()).value == pytest.approx(value, abs=1e-11)
    place = np.arange(24).reshape(4, 6).T.ravel().argsort()
    moved = Ising.from_arrays(place[magnet.edges], magnet.couplings, magnet.fields[place.argsort()], 0.9)
    assert log_z(moved, cal.TransferMatrix()).value == pytest.approx(value, abs=1e-11)
    both = Ising.from_arrays(
        np.concatenate([magnet.edges, magnet.edges + 24]), np.tile(magnet.couplings, 2), np.tile(magnet.fields, 2), 0.9
    )
    assert log_z(both, cal.TransferMatrix()).value == pytest.approx(2 * value, abs=1e-11)


@pytest.mark.parametrize("K", [0.2, 0.5 * math.log1p(math.sqrt(2.0)), 0.9])
def test_duality_of_a_planar_strip(K):
    """Free edges against fixed ones: Z_free(K) = 2^n cosh^e K Σ_even tanh^l K, the same sum that Z_fixed(K*) makes."""
    rows, width = 4, 5
    free = Ising.square((rows, width), beta=K, periodic=False)
    dual = -0.5 * math.log(math.tanh(K))
    inner = Ising.square((rows - 1, width - 1), beta=1.0, periodic=False)
    outside = inner.n  # one spin for the outer face, bound to each face along the boundary
    sites = np.arange(inner.n).reshape(rows - 1, width - 1)
    rim = np.concatenate([sites[0], sites[-1], sites[:, 0], sites[:, -1]])
    edges = np.concatenate([inner.edges, np.stack([rim, np.full(len(rim), outside)], axis=1)])
    faces = Ising.from_arrays(edges, dual, n=outside + 1)
    # Z_faces(K*) = 2 e^{e K*} Σ_even e^{−2 K* l}, and e^{−2K*} = tanh K
    low = log_z(faces, cal.TransferMatrix()).value - math.log(2.0) - free.e * dual
    high = log_z(free, cal.TransferMatrix()).value - free.n * math.log(2.0) - free.e * math.log(math.cosh(K))
    assert low == pytest.approx(high, abs=1e-12)


@pytest.mark.parametrize("method", [cal.TransferMatrix(), cal.TransferMatrix(most_bits=3)])
@pytest.mark.parametrize("field", [0.0, "gauss:0.7"])
def test_samples_are_those_of_the_model(method, field):
    magnet = Ising.square((3, 3), coupling="gauss:1", field=field, beta=0.8, seed=7)
    count = 40_000
    states = cal.sample(magnet, count, seed=5, method=method).states
    assert states.shape == (count, 9)
    every = (np.arange(512)[:, None] >> np.arange(9)) & 1
    logs = np.array([magnet.log_weight(x) for x in every])
    p = np.exp(logs - np.logaddexp.reduce(logs))
    seen = np.bincount(states @ (1 << np.arange(9)), minlength=512)
    chi = float(((seen - count * p) ** 2 / (count * p)).sum())
    assert chi < 511 + 5 * math.sqrt(2 * 511)  # five standard deviations of a χ² of 511 degrees
    np.testing.assert_array_equal(states, cal.sample(magnet, count, seed=5, method=method).states)


def test_samples_of_vectors_longer_than_a_block():
    magnet = Ising.square((14, 14), coupling="gauss:1", field="gauss:0.5", beta=0.5, periodic=False, seed=2)
    spins = 1.0 - 2.0 * cal.sample(magnet, 4000, seed=3, method=cal.TransferMatrix()).states
    truth = cal.moments(magnet, cal.TransferMatrix())
    assert np.abs(spins.mean(axis=0) - truth.mean).max() < 5 / math.sqrt(4000)
    found = spins[:, magnet.edges].prod(axis=2).mean(axis=0)
    assert np.abs(found - truth.correlation).max() < 5 / math.sqrt(4000)


def test_limits_are_kept_and_said():
    with pytest.raises(Refusal, match=r"the frontier has 40 spins; vectors of 2\^28 are allowed"):
        cal.TransferMatrix().plan(Ising.square((40, 40), field=0.1, periodic=False))
    with pytest.raises(Refusal, match=r"would not finish in time: vectors of 2\^15"):
        cal.TransferMatrix().plan(Ising.square((8, 8), field=0.1, beta=0.4), Limits(deadline=0.0))
    with pytest.raises(Refusal, match="use Elimination"):
        cal.TransferMatrix().plan(Ising.square((4, 4), beta=1000.0))
    with pytest.raises(ValueError, match="most_bits"):
        cal.TransferMatrix(most_bits=0)
    small = cal.TransferMatrix().plan(Ising.square((6, 6), field=0.1), Limits(memory=8 * 2.0**7))
    assert small.log2_size <= 7
    assert small.bytes <= 8 * 2.0**7
    assert len(small.structure[1].clamped) > 2


def test_a_cold_magnet_just_inside_the_range_of_floats():
    magnet = Ising.square((5, 5), coupling="gauss:1", field="gauss:0.5", beta=12.0, periodic=False, seed=4)
    value = log_z(magnet, cal.TransferMatrix(), beliefs=True)
    truth = log_z(magnet, cal.Elimination(), beliefs=True)
    assert value.value == pytest.approx(truth.value, rel=1e-13)
    np.testing.assert_allclose(value.belief.marginals, truth.belief.marginals, atol=1e-10)


def test_the_certificate_is_an_elimination_that_the_checker_accepts(tmp_path):
    calipers_check = pytest.importorskip("calipers_check")
    magnet = Ising.square((4, 4), coupling="pm1", field=0.2, beta=0.6, seed=1)
    path = tmp_path / "strip.cert"
    cal.log_z(magnet, cal.TransferMatrix()).certificate.save(path)
    assert calipers_check.check(path).accepted


def test_a_run_forgets_nothing_between_groups():
    """Forward, then backwards through checkpoints: the vectors are the same numbers."""
    magnet = Ising.square((6, 6), coupling="gauss:1", field=0.3, beta=0.8, periodic=False, seed=1)
    passes = Passes.build(magnet, frontier.best_sweep(36, magnet.edges, magnet.lattice, 20, False))
    program = frontier_program.with_fields(passes.program, passes.couplings, passes.fields)
    many = program.groups
    assert len(many) > 0
    first = frontier_run.Run(program, kept=2)
    joints = first.joints()
    totals = np.add.reduceat(joint_rows := joints.sum(axis=1), program.steps.factor_ptr[:-1])
    assert len(joint_rows) == program.steps.factor_ptr[-1]
    np.testing.assert_allclose(totals, 1.0, atol=1e-12)


def test_log_partition_is_differentiable_through_it():
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    magnet = Ising.square((3, 3), coupling="gauss:1", field="gauss:0.3", beta=0.6, seed=2)
    with jax.enable_x64(True):

        def at(fields):
            return cal.log_partition(eqx.tree_at(lambda m: m.fields, magnet, fields), cal.TransferMatrix())

        np.testing.assert_allclose(jax.grad(at)(jnp.asarray(magnet.fields)), 0.6 * cal.moments(magnet).mean, atol=1e-12)


@pytest.mark.parametrize("method", [cal.TransferMatrix(), cal.ClosedForm()])
def test_large_tables_that_cancel_widen_the_bracket(method):
    rng = np.random.default_rng(3)
    tables = [rng.normal(size=2) + shift for shift in (1e7, -1e7, 3e6, -3e6)]
    graph = FactorGraph((2, 2), ((0,), (0,), (1,), (1,)), tuple(tables))
    sums = [[math.fsum([a[k], b[k]]) for k in range(2)] for a, b in (tables[:2], tables[2:])]
    truth = math.fsum(float(np.logaddexp(s[0], s[1])) for s in sums)
    answer = log_z(graph, method)
    assert answer.lower.value <= truth <= answer.upper.value
    assert 1e-10 < answer.gap < 1e-6


def test_empty_and_lone_spins():
    assert log_z(Ising.from_arrays(np.zeros((0, 2), int), fields=np.zeros(0)), cal.TransferMatrix()).value == 0.0
    lone = Ising.from_arrays(np.zeros((0, 2), int), fields=np.array([0.3, -2.0]), offset=1.0)
    assert log_z(lone, cal.TransferMatrix()).value == pytest.approx(np.log(2 * np.cosh([0.3, 2.0])).sum() - 1.0)
    pair = FactorGraph((2, 2), ((0, 1), (1, 0)), (np.outer(SPINS, SPINS), np.outer(SPINS, SPINS)))
    assert log_z(pair, cal.TransferMatrix()).value == pytest.approx(math.log(4 * math.cosh(2.0)))
