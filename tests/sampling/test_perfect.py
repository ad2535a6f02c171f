"""Perfect sampling: draws against every configuration and against densities of states, bounding states, time-outs."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import calipers as cal
from calipers.core.answer import Result
from calipers.core.method import Refusal
from calipers.exact.density_of_states import torus_density_of_states
from calipers.sampling import random_cluster_kernels as kernels
from calipers.sampling.ferromagnet import ferromagnet
from calipers.sampling.perfect import Coupler, Unfinished
from calipers.sampling.streams import streams

TC = 2.0 / math.log1p(math.sqrt(2.0))


def gauged(seed, both_ways=False):
    """A 3×3 ferromagnet with fields on some sites, spins flipped at random."""
    rng = np.random.default_rng(seed)
    base = cal.Ising.square((3, 3), coupling=1.0, periodic=False)
    flips, fields = rng.choice([-1.0, 1.0], 9), rng.uniform(0, 0.8, 9) * (rng.random(9) < 0.5)
    fields = fields * (rng.choice([-1.0, 1.0], 9) if both_ways else 1.0)
    couplings = rng.uniform(0.1, 1.0, len(base.edges)) * flips[base.edges].prod(axis=1)
    return cal.Ising.from_arrays(base.edges, couplings, fields * flips, beta=0.8)


@pytest.mark.parametrize(
    ("model", "coupling"),
    [(gauged(0), "bonds"), (gauged(1), "spins"), (gauged(2, True), "spins"), (gauged(3).factor_graph(), "bonds")],
    ids=["bonds", "spins", "fields both ways", "factor graph"],
)
def test_every_configuration_comes_as_often_as_it_should(model, coupling):
    count = 8000
    states = cal.sample(model, count, method=cal.PerfectSampling(coupling), seed=1).states.astype(np.int64)
    logs = np.array([float(model.log_weight(np.array(x))) for x in itertools.product((0, 1), repeat=9)])
    expected = count * np.exp(logs - np.logaddexp.reduce(logs))
    found = np.bincount(states @ (1 << np.arange(9)[::-1]), minlength=512)
    kept = expected > 5.0
    chi = ((found - expected)[kept] ** 2 / expected[kept]).sum()
    assert abs(chi - kept.sum()) < 5.0 * math.sqrt(2.0 * kept.sum())


@pytest.mark.parametrize(("T", "coupling", "count"), [(TC, "bonds", 3000), (1.8, "bonds", 3000), (3.5, "spins", 1500)])
def test_energies_follow_the_density_of_states(T, coupling, count):
    model = cal.Ising.square((8, 8), beta=1.0 / T)
    energies = model.energy(cal.sample(model, count, method=cal.PerfectSampling(coupling), seed=2).spins)
    levels = {e: g for e, g in torus_density_of_states((8, 8)).items() if g}
    logs = np.array([math.log(g) - e / T for e, g in levels.items()])
    shares, values = np.exp(logs - np.logaddexp.reduce(logs)), np.array(list(levels), np.float64)
    mean = shares @ values
    assert abs(energies.mean() - mean) < 4.5 * math.sqrt((shares @ values**2 - mean**2) / count)
    expected, found = count * shares, (energies[:, None] == values).sum(axis=0)
    kept = expected > 5.0
    chi = ((found - expected)[kept] ** 2 / expected[kept]).sum()
    assert abs(chi - kept.sum()) < 5.0 * math.sqrt(2.0 * kept.sum())


@st.composite
def magnets(draw):
    """Random ferromagnets of 2 to 8 spins with some fields, and open bonds of each."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = int(rng.integers(2, 9))
    pairs = np.array(list(itertools.combinations(range(n), 2)))
    edges = pairs[rng.random(len(pairs)) < 0.5]
    fields = rng.uniform(0, 1, n) * (rng.random(n) < 0.4)
    model = cal.Ising.from_arrays(edges, rng.uniform(0.1, 1.5, len(edges)), fields, beta=0.7, n=n)
    return ferromagnet(model), rng


@settings(max_examples=60)
@given(magnets())
def test_searches_agree_with_components(case):
    magnet, rng = case
    bonds, n = magnet.bonds, magnet.n
    is_open = rng.random(magnet.m) < 0.5
    graph = coo_array((np.ones(is_open.sum()), (bonds.head[is_open], bonds.tail[is_open])), (n + 1, n + 1))
    part = connected_components(graph, directed=False)[1]
    mark, queue, stamp = np.zeros(n, np.int64), np.zeros((2, n), np.int64), 0
    for i, j in itertools.combinations(range(n + 1), 2):
        stamp += 2
        assert kernels._joined(bonds, is_open, i, j, mark, queue, stamp) == (part[i] == part[j])


@settings(max_examples=40)
@given(magnets())
def test_bounding_states_stay_in_order_and_other_states_between_them(case):
    magnet, rng = case
    cost, size = magnet.bonds.at(1.0), magnet.m
    middle = rng.random(size) < 0.5
    starts = [np.ones(size, bool), middle, np.zeros(size, bool)]
    seed, ends = streams(rng), []
    for pair in ((0, 1), (1, 2)):
        top, bottom = (starts[k].copy() for k in pair)
        work = np.zeros(magnet.n, np.int64), np.zeros((2, magnet.n), np.int64)
        at = np.array([np.count_nonzero(top != bottom), 0])
        kernels.bond_sweeps(magnet.bonds, cost, top, bottom, seed.copy(), 2, *work, at)
        assert (bottom <= top).all()
        assert at[0] == np.count_nonzero(top != bottom)
        ends += [top, bottom]
    assert np.array_equal(ends[1], ends[2])  # the middle state moves the same way beside either


def test_ends_of_the_scale():
    magnet, rng = ferromagnet(gauged(4)), np.random.default_rng(0)
    coupler = Coupler(magnet)
    assert kernels.excess(magnet.bonds, coupler.draw(math.inf, rng)) == 0.0
    free = np.array([coupler.draw(0.0, rng) for _ in range(2000)])
    assert np.abs(free.mean(axis=0)).max() < 4.5 / math.sqrt(2000)


def test_the_seed_decides_and_the_count_does_not():
    model = cal.Ising.cubic((3, 3, 3), beta=0.3)
    few, many, other = (
        cal.sample(model, n, method=cal.PerfectSampling(), seed=s).states for n, s in ((5, 0), (9, 0), (9, 1))
    )
    assert np.array_equal(few, many[:5])
    assert not np.array_equal(many, other)


def test_a_time_out_is_said_so():
    cold = cal.Ising.square((12, 12), beta=1.0)
    late = cal.sample(cold, 3, method=cal.PerfectSampling("spins"), seed=0, time_limit=0.2)
    assert (late.result, len(late), late.states.shape) == (Result.TIME_LIMIT, 0, (0, 144))
    with pytest.raises(Unfinished, match="time-out: after") as caught:
        Coupler(ferromagnet(cold), "spins", deadline=0.0).draw(1.0, np.random.default_rng(0))
    assert (caught.value.sweeps, caught.value.differ) == (0, 144)
    done = cal.sample(cold, 3, method=cal.PerfectSampling(), seed=0)
    assert (done.result, done.independent, len(done)) == (Result.EXHAUSTED, True, 3)
    assert done.answer.lower.value == -math.inf


def test_what_is_refused():
    with pytest.raises(Refusal, match="frustrated"):
        cal.sample(cal.Ising.square((4, 4), coupling="pm1", seed=1), 1, method=cal.PerfectSampling(), seed=0)
    with pytest.raises(Refusal, match="point both ways"):
        cal.sample(gauged(2, True), 1, method=cal.PerfectSampling("bonds"), seed=0)
    with pytest.raises(Refusal, match="Ising magnets"):
        cal.sample(cal.zoo.random_graph(1), 1, method=cal.PerfectSampling(), seed=0)
    with pytest.raises(ValueError, match="coupling is 'sites'"):
        cal.PerfectSampling("sites")
