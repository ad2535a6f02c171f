"""Exact samples: frequencies against enumeration, independence, streams, seeds, refusals."""

import itertools
import math
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.listing import listed
from tests.strategies import factor_graphs

import calipers as cal
from calipers import zoo
from calipers.core.answer import Answer, Result
from calipers.core.method import Refusal
from calipers.exact import ancestral, ordering, query, sampling
from calipers.exact.sampler import ExactSampler, sampler

COUNT = 4000
WORST = 5.5  # standard deviations, over some thousand frequencies: exceeded once in 10⁴ runs if all is well
SMALL = [m for m in zoo.models() if np.prod(m.model.domains, dtype=float) <= 2**10 and m.log_z > -math.inf]


def in_pieces(states):
    """`sampler`, with so many states a call."""
    return lambda method, model, limits: sampler(method, model, limits)._replace(at_once=states)


def check_frequencies(model, states, listing):
    """Each configuration comes as often as it should, and none that cannot be."""
    number = {tuple(x): i for i, x in enumerate(listing.states.tolist())}
    counts = np.bincount([number[tuple(x)] for x in states.tolist()], minlength=len(number))
    expected = len(states) * listing.p
    seen = expected > 10  # enough for a normal law
    z = (counts - expected)[seen] / np.sqrt(expected[seen] * np.maximum(1 - listing.p[seen], 1e-12))
    assert np.abs(z[listing.p[seen] < 1 - 1e-9]).max(initial=0.0) < WORST
    rest, chance = counts[~seen].sum(), listing.p[~seen].sum()
    assert abs(rest - len(states) * chance) < WORST * math.sqrt(len(states) * chance + 1)


@pytest.mark.parametrize("example", SMALL, ids=lambda m: m.name)
def test_frequencies_of_the_zoo(example):
    found = cal.sample(example.model, COUNT, seed=1)
    assert found.states.shape == (COUNT, example.model.n)
    assert found.states.dtype == np.int8
    assert (found.independent, found.effective_size, found.result) == (True, COUNT, Result.EXACT)
    assert found.answer.lower.value - 1e-9 <= example.log_z <= found.answer.upper.value + 1e-9
    check_frequencies(example.model, found.states, listed(example.model))


@pytest.mark.parametrize("example", [m for m in SMALL if isinstance(m.model, cal.Ising)], ids=lambda m: m.name)
def test_frequencies_of_the_zoo_by_transfer_matrix(example):
    states = cal.sample(example.model, COUNT, seed=1, method=cal.TransferMatrix()).states
    check_frequencies(example.model, states, listed(example.model))


def test_planar_magnets_of_any_width():
    wide = cal.Ising.square((40, 40), coupling="gauss:1.0", beta=0.8, periodic=False, seed=3)
    found = cal.sample(wide, 12, seed=1)
    assert (found.method, found.states.shape, found.states.dtype) == (repr(cal.Planar()), (12, 1600), np.int8)
    assert np.array_equal(found.states[:5], cal.sample(wide, 5, seed=1).states)
    small = cal.Ising.square((3, 4), coupling="gauss:1.0", beta=0.8, periodic=False, seed=3)
    check_frequencies(small, cal.sample(small, COUNT, seed=1, method=cal.Planar()).states, listed(small))
    mixed = small.factor_graph().condition({0: 1})
    check_frequencies(mixed, cal.sample(mixed, COUNT, seed=1, method=cal.Planar()).states, listed(mixed))
    with pytest.raises(Refusal, match="genus"):
        cal.sample(cal.Ising.square((4, 4)), 1, seed=1, method=cal.Planar())


@given(graph=factor_graphs(), seed=st.integers(0, 2**63 - 1))
def test_frequencies_of_random_graphs(graph, seed):
    listing = listed(graph)
    if not len(listing.states):
        with pytest.raises(ValueError, match="weight zero"):
            cal.sample(graph, 1, seed=seed)
        return
    check_frequencies(graph, cal.sample(graph, COUNT, seed=seed).states, listing)


def test_samples_are_independent_of_each_other():
    magnet = cal.Ising.square((6, 6), coupling="pm1", beta=1.0, seed=4)
    energies = magnet.energy(cal.sample(magnet, 20_000, seed=2).spins)
    z = (energies - energies.mean()) / energies.std()
    for lag in (1, 2, 1024, 1025):
        assert abs(np.mean(z[lag:] * z[:-lag])) * math.sqrt(len(z)) < 4.5


def test_pair_correlations_of_a_glass_too_large_to_list():
    magnet = cal.Ising.square((10, 10), coupling="gauss:1.0", beta=0.8, seed=5, periodic=False)
    spins = cal.sample(magnet, 20_000, seed=3).spins
    exact = cal.moments(magnet)
    seen = (spins[:, magnet.edges[:, 0]] * spins[:, magnet.edges[:, 1]]).mean(0)
    z = (seen - exact.correlation) / np.sqrt((1 - exact.correlation**2) / len(spins))
    assert np.abs(z).max() < 4.5
    assert 0.7 < z.std() < 1.3  # neither biased nor too regular


def test_one_seed_is_one_stream_however_it_is_cut(monkeypatch):
    magnet = cal.Ising.square((4, 4), beta=0.4)
    whole = cal.sample(magnet, 5000, seed=9).states
    assert np.array_equal(whole[:7], cal.sample(magnet, 7, seed=9).states)
    monkeypatch.setattr(ancestral, "_AT_ONCE", 1)
    monkeypatch.setattr(sampling, "sampler", in_pieces(16 * 100))
    assert np.array_equal(whole, cal.sample(magnet, 5000, seed=9).states)
    assert not np.array_equal(whole, cal.sample(magnet, 5000, seed=10).states)


def test_the_clock_has_no_say_in_the_samples(monkeypatch):
    glass = cal.Ising.cubic((4, 4, 3), coupling="gauss:1.0", seed=2)
    states = cal.sample(glass, 20, seed=1, method=cal.Elimination(order_seconds=0.0)).states
    query._order.cache_clear()
    ticks = itertools.count(0.0, 0.01)
    monkeypatch.setattr(ordering, "time", SimpleNamespace(monotonic=lambda: next(ticks)))  # a slower machine
    assert np.array_equal(states, cal.sample(glass, 20, seed=1, method=cal.Elimination(order_seconds=9.0)).states)
    query._order.cache_clear()


def test_a_seed_is_short_for_a_key():
    magnet = cal.Ising.square((4, 4), beta=0.4)
    states = [cal.sample(magnet, 50, **kind).states for kind in ({"seed": 5}, {"key": jax.random.key(5)})]
    assert np.array_equal(*states)
    assert not np.array_equal(states[0], cal.sample(magnet, 50, seed=5 + 2**40).states)
    for wrong in ({}, {"seed": 1, "key": jax.random.key(1)}, {"seed": -1}):
        with pytest.raises(ValueError, match="seed"):
            cal.sample(magnet, 1, **wrong)


def test_many_states_get_a_wider_type():
    graph = cal.FactorGraph.from_tables((300, 2), [((0, 1), np.arange(600.0).reshape(300, 2))])
    states = cal.sample(graph, 4000, seed=0).states
    assert states.dtype == np.int16
    assert states[:, 0].max() > 127
    assert abs(states[:, 0].mean() - np.arange(600) @ (np.arange(600) // 2) / np.arange(600).sum()) < 5 * 75 / 63


def test_no_samples_and_no_sites():
    assert cal.sample(cal.Ising.chain(5), 0, seed=0).states.shape == (0, 5)
    assert cal.sample(cal.FactorGraph((), (), ()), 3, seed=0).states.shape == (3, 0)
    with pytest.raises(ValueError, match="-1"):
        cal.sample(cal.Ising.chain(5), -1, seed=0)


def test_the_transfer_matrix_takes_what_elimination_cannot_hold():
    strip = cal.Ising.square((3, 4), coupling="gauss:1.0", field=0.2, beta=0.6, seed=3)
    found = cal.sample(strip, COUNT, seed=1, method=cal.TransferMatrix())
    check_frequencies(strip, found.states, listed(strip))
    assert found.answer.value == pytest.approx(cal.log_z(strip, cal.Elimination()).value)
    assert cal.sample(strip, 1, seed=1).method == "Elimination()"
    wide = cal.Ising.square((14, 30), coupling="pm1", beta=0.3, periodic=False)
    found = cal.sample(wide, 10, seed=1, memory=4e6)
    assert found.method.startswith("TransferMatrix(")
    assert found.states.shape == (10, 420)


def test_refusals_say_why():
    with pytest.raises(Refusal, match=r"2\^\d+"):
        cal.sample(cal.Ising.complete(70), 1, seed=0)
    with pytest.raises(Refusal, match="1 allowed"):
        cal.sample(cal.Ising.chain(100), 10**8, seed=0, memory=1e9)
    with pytest.raises(Refusal, match="MeanField"):
        cal.sample(cal.Ising.chain(5), 1, seed=0, method=cal.MeanField())
    with pytest.raises(Refusal, match=r"2\^1200"):  # beyond what float64 can count
        query._tree(np.full(300, 16), [tuple(range(300))], np.arange(300), cal.Limits(), 1.0)


def test_a_deadline_leaves_whole_pieces():
    slow = ExactSampler(lambda count, rng: np.zeros((count, 2), np.int8), Answer(), 10)
    rng = sampling.generator(seed=0)
    assert [len(p) for p in sampling.draws(slow, 2, 12, rng, time.monotonic() - 1)] == [5]
    assert [len(p) for p in sampling.draws(slow, 2, 12, rng, math.inf)] == [5, 5, 2]


class Coin(cal.AbstractMethod):
    """A toy engine: what another engine has to do to be sampled from."""

    proves = cal.Proves.NOTHING

    def plan(self, model, limits=None):
        raise NotImplementedError

    def answers(self, model, plan, key=None):
        raise NotImplementedError


def test_other_engines_plug_in():
    @sampler.register
    def coin(method: Coin, model, limits) -> ExactSampler:
        return ExactSampler(lambda count, rng: rng.integers(0, 2, (count, model.n)).astype(np.int8), Answer())

    found = cal.sample(cal.Ising.chain(4, beta=0.0), 10, seed=0, method=Coin())
    assert found.method == "Coin()"
    assert found.spins.shape == (10, 4)


@settings(max_examples=10)
@given(graph=factor_graphs(zeros=False))
def test_conditioning_is_conditioning(graph):
    """Samples given evidence agree with it, and with samples of the whole that happen to."""
    v = int(np.argmax(graph.domains))
    if dict(graph.evidence).get(v, 0) != 0:
        return
    given_it = cal.sample(graph.condition({v: 0}), 2000, seed=1).states
    assert (given_it[:, v] == 0).all()
    whole = cal.sample(graph, 20_000, seed=2).states
    part = whole[whole[:, v] == 0]
    if len(part) > 200:
        for u, k in enumerate(graph.sizes):
            a, b = (np.bincount(s[:, u], minlength=k) / len(s) for s in (given_it, part))
            deviation = np.sqrt(0.25 / len(part) + 0.25 / len(given_it))
            assert np.abs(a - b).max() < 5 * deviation
