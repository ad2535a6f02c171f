"""Every Markov kernel through one protocol, and against exact distributions.

Statistical tests have fixed seeds. Energies of independent chains are counted once, after a fixed number of sweeps that
is many autocorrelation times, so that the χ² of the counts is what it says: the limit is passed once in 10⁶.
"""

import math
from typing import Any

import numpy as np
import pytest
from tests.sampling.chains import SLABS, WIDE, begin, probabilities, same, surprise

import calipers as cal
from calipers.sampling import cluster_kernels, gibbs, local, multispin_kernels, replica_kernels, tempering
from calipers.sampling.kernel import leaves, with_leaves
from calipers.sampling.multispin_kernels import threshold
from calipers.sampling.replica_kernels import RUN
from calipers.sampling.streams import streams
from calipers.sampling.tempering import rejection, round_trips

SQUARE = cal.Ising.square((4, 4), beta=0.4)
FIELD = cal.Ising.square((3, 3), coupling="gauss:0.6", field="gauss:0.5", periodic=False, beta=0.7, seed=3)
GLASS = cal.Ising.cubic((2, 2, 3), coupling="pm1", periodic=False, beta=0.6, seed=2)
ODD = cal.Ising.from_arrays(np.array([[0, 1], [1, 2], [0, 2], [2, 3]]), np.array([1.0, 1, 1, -1]), n=6, beta=0.5)
INTEGER = cal.Ising.from_arrays(
    np.array([[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [1, 5]]), 0.3 * np.array([1, -2, 3, 1, 5, -1, 2]),
    np.array([0.3, 0, -0.6, 0, 0.9, 0]), beta=0.4,
)  # fmt: skip
EVEN = cal.Ising.from_arrays(
    np.array([[0, 1], [1, 2], [0, 2], [2, 3], [3, 4]]), np.array([1.0, -1, 1, 2, 2]), np.array([0.0, 2, 0, 0, -4]),
    beta=0.3,
)  # fmt: skip
POTTS = cal.FactorGraph.from_tables(
    (3, 3, 3, 2), [((0, 1), 1 + np.eye(3)), ((1, 2), 1 + np.eye(3)), ((0, 2), 1 + 2 * np.eye(3)),
     ((2, 3), [[1, 2], [3, 1], [1, 1]])]
)  # fmt: skip
HARD = cal.FactorGraph.from_tables(
    (2,) * 4, [((i, (i + 1) % 4), [[1.0, 2.0], [1.0, 0.0]]) for i in range(4)], evidence={1: 0}
)
LADDER = cal.ParallelTempering(replicas=4, hottest=0.3, adapt=20)
CASES = [
    (cal.Metropolis(), SQUARE), (cal.Metropolis("coloured"), FIELD), (cal.Metropolis("random"), ODD),
    (cal.Metropolis(), ODD), (cal.HeatBath(), FIELD), (cal.HeatBath("coloured"), SQUARE),
    (cal.HeatBath("random"), GLASS), (cal.BlockGibbs(), SQUARE), (cal.BlockGibbs(), FIELD),
    (cal.BlockGibbs(2), FIELD), (cal.BlockGibbs(3), GLASS), (cal.BlockGibbs(12), SQUARE), (cal.BlockGibbs(4), ODD),
    (cal.BlockGibbs(), INTEGER), (cal.BlockGibbs(2), INTEGER), (cal.Gibbs(), POTTS), (cal.Gibbs("coloured"), HARD),
    (cal.Gibbs("random"), FIELD), (cal.SwendsenWang(), SQUARE), (cal.SwendsenWang(), FIELD), (cal.Wolff(), SQUARE),
    (cal.Wolff(), FIELD), (cal.Wolff(), GLASS), (LADDER, GLASS), (LADDER, POTTS), (LADDER, HARD),
    (cal.Gibbs("coloured"), POTTS), (LADDER, FIELD), (cal.MultispinReplicas(), SQUARE),
    (cal.MultispinReplicas(), GLASS), (cal.MultispinReplicas(), ODD), (cal.MultispinReplicas(), INTEGER),
    (cal.MultispinReplicas(threads=2), EVEN), (cal.MultispinReplicas(), SQUARE.tempered(1e-9)),
    (cal.MultispinReplicas(), cal.Ising.complete(4, beta=0.7)),
    (cal.MultispinReplicas(), cal.Ising.complete(7, beta=0.5)),
]  # fmt: skip
PROTOCOL = [*CASES, *SLABS]
names = [f"{kernel!r}-{model.n}" for kernel, model in CASES]
all_names = [f"{kernel!r}-{model.n}-{k}" for k, (kernel, model) in enumerate(PROTOCOL)]


@pytest.mark.parametrize(("kernel", "model"), PROTOCOL, ids=all_names)
def test_the_protocol(kernel, model, tmp_path):
    state = begin(kernel, model)
    before = [x.copy() for x in leaves(state)]
    five, info = kernel.step(state, 5)
    assert all(np.array_equal(x, y) for x, y in zip(before, leaves(state), strict=True))  # not touched
    states = kernel.states(five)
    assert states.shape == (64, model.n)
    assert info.moved.shape == (64,)
    assert (states >= 0).all()
    assert (states < model.domains).all()
    assert not np.array_equal(states, kernel.states(state))
    if max(model.domains) == 2:
        spins = kernel.spins(five)
        assert spins.dtype == np.int8
        assert np.array_equal(spins, 1 - 2 * states)
    else:
        with pytest.raises(ValueError, match="more than two states"):
            kernel.spins(five)
    # saved after two sweeps and read again, it goes on bit for bit
    two, _ = kernel.step(state, 2)
    np.savez(tmp_path / "state.npz", *leaves(two))
    with np.load(tmp_path / "state.npz") as held:
        read = with_leaves(begin(kernel, model, seed=9), list(held.values()))
    assert same(kernel.step(read, 3)[0], five)
    # seeds
    assert same(begin(kernel, model), state)
    assert not np.array_equal(kernel.states(kernel.step(begin(kernel, model, seed=2), 5)[0]), states)
    with pytest.raises(ValueError, match="source of randomness"):
        kernel.init(model)
    with pytest.raises(ValueError, match="not a state"):
        with_leaves(state, leaves(state)[::-1])
    assert eval(repr(kernel), vars(cal) | {type(kernel).__name__: type(kernel)}) == kernel


@pytest.mark.parametrize(("kernel", "model"), PROTOCOL, ids=all_names)
def test_a_meter_reads_what_is_there(kernel, model):
    state = begin(kernel, model)
    energy, magnetization = kernel.meter(model)(state)
    states = kernel.states(state)
    beta = float(model.beta)
    expected = [-model.log_weight(x) / beta for x in states]
    assert energy == pytest.approx(expected, rel=1e-12, abs=1e-12)
    if max(model.domains) == 2:
        assert np.array_equal(magnetization, kernel.spins(state).sum(1))
    else:
        assert np.isnan(magnetization).all()


@pytest.mark.parametrize(("kernel", "model"), CASES, ids=names)
def test_configurations_have_their_probabilities(kernel, model):
    """Chains looked at every 40 sweeps (20 when tempered), several τ: counts hardly correlate."""
    counts, p = np.zeros(int(np.prod(model.domains))), probabilities(model)
    tempered = isinstance(kernel, cal.ParallelTempering)
    state = begin(kernel, model, chains=64 if tempered else 512)
    for _ in range(40 if tempered else 24):
        state, _ = kernel.step(state, 20 if tempered else 40)
        np.add.at(counts, np.ravel_multi_index(tuple(kernel.states(state).T.astype(np.int64)), tuple(model.domains)), 1)
    if isinstance(model, cal.Ising) and not model.fields.any():
        counts, p = counts + counts[::-1], p + p[::-1]  # only relative signs are renewed fast
        counts, p = counts[: len(p) // 2], p[: len(p) // 2]
    assert surprise(counts, p) > 1e-6


def test_the_test_can_fail():
    counts = np.random.default_rng(0).multinomial(10_000, probabilities(FIELD.tempered(1.1)))
    assert surprise(counts, probabilities(FIELD)) < 1e-6


COMPILED: list[Any] = [
    local.metropolis, local.heat_bath, gibbs.gibbs, cluster_kernels.swendsen_wang, cluster_kernels.wolff,
    replica_kernels.replicas, tempering.exchange, multispin_kernels.half_sweeps,
]  # fmt: skip


def test_nothing_compiles_when_parameters_change():
    def everything(scale):
        for kernel, model in PROTOCOL:
            kernel.step(begin(kernel, model.tempered(scale)), 1)

    everything(1.0)
    before = [len(f.signatures) for f in COMPILED]
    everything(0.9)
    assert [len(f.signatures) for f in COMPILED] == before
    assert all(count >= 1 for count in before)


def test_starts():
    for kernel in (cal.Metropolis(), cal.Gibbs(), cal.Wolff(), cal.MultispinReplicas(), LADDER):
        state = begin(cal.Metropolis(), SQUARE, start=np.arange(16) % 2)
        assert (kernel.states(begin(kernel, SQUARE, start=np.ones(16, int)))[:, 0] == 1).all() or kernel is LADDER
        assert (cal.Metropolis().states(state) == np.arange(16) % 2).all()
    with pytest.raises(ValueError, match="outside"):
        begin(cal.HeatBath(), SQUARE, start=np.full(16, 2))
    with pytest.raises(ValueError, match="shape"):
        begin(cal.HeatBath(), SQUARE, start=np.zeros(15, int))
    with pytest.raises(ValueError, match="weight zero"):
        begin(cal.Gibbs(), HARD, start=np.ones(4, int))
    wide = np.random.default_rng(1).integers(0, 2, WIDE.n)
    assert np.array_equal(cal.Multispin().states(begin(cal.Multispin(), WIDE, chains=2, start=wide)), [wide, wide])


@pytest.mark.parametrize(
    ("kernel", "model", "words"),
    [
        (cal.Multispin(), SQUARE, "128"),
        (cal.Multispin(), FIELD, "periodic"),
        (cal.Multispin(), WIDE.tempered(1e-6), r"β\|J\|"),
        (cal.Multispin(), cal.Ising.square((4, 128), coupling="gauss:1"), "one size"),
        (cal.Multispin(), cal.Ising.hypercubic(4, 4, 4, 128), "2 and 3 dimensions"),
        (cal.Multispin(), cal.Ising.square((5, 128)), "even"),
        (cal.Multispin(), cal.Ising.square((4, 128), field=0.1), "no field"),
        (cal.MultispinReplicas(), FIELD, "small multiples"),
        (cal.MultispinReplicas(), cal.Ising.complete(33), "32 units"),
        (cal.Wolff(), SQUARE.tempered(0.0), "HeatBath"),
        (cal.Metropolis(), POTTS, "not binary"),
    ],
)
def test_refusals(kernel, model, words):
    with pytest.raises(cal.Refusal, match=words):
        kernel.init(model, seed=0, chains=64)


def test_threads_share_replicas_and_change_nothing():
    state = cal.MultispinReplicas().init(INTEGER, seed=3, chains=64 * 20)
    one = cal.MultispinReplicas(threads=1).step(state, 5)[0]
    assert same(one, cal.MultispinReplicas(threads=3).step(state, 5)[0])
    with pytest.raises(ValueError, match="threads"):
        cal.MultispinReplicas(threads=-1)


def test_replicas_come_in_words():
    with pytest.raises(cal.Refusal, match="multiple of 64"):
        cal.MultispinReplicas().init(SQUARE, seed=0, chains=4)


def test_bad_choices():
    for bad in (lambda: cal.Metropolis("odd"), lambda: cal.ParallelTempering(replicas=1), lambda: cal.Gibbs("up")):
        with pytest.raises(ValueError, match=r"must be one of|needs"):
            bad()


def test_frustration_is_warned_of():
    with pytest.warns(UserWarning, match="frustrated"):
        cal.SwendsenWang().init(GLASS, seed=0)
    gauge = cal.Ising.square((4, 4), coupling=-1.0, periodic=True)  # bipartite: no frustration, and warnings are errors
    cal.Wolff().init(gauge, seed=0)
    cal.Wolff().init(cal.Ising.chain(4, field=np.array([1.0, 0, 0, 1.0]), periodic=False), seed=0)
    with pytest.warns(UserWarning, match="frustrated"):
        cal.Wolff().init(cal.Ising.chain(4, field=np.array([1.0, 0, 0, -1.0]), periodic=False), seed=0)


def test_swaps_alone_leave_every_temperature_as_it_is():
    """Exact draws at each λ, then one turn of swaps and no sweep: counts at λ = 1 are still those of p (χ²)."""
    kernel, chains = cal.ParallelTempering(replicas=2, hottest=0.3, adapt=0), 20_000
    state = kernel.init(FIELD, seed=0, chains=chains)
    draws = [cal.sample(FIELD.tempered(float(x)), chains, seed=k).states for k, x in enumerate(state.ladder)]
    state.values[:] = 1 - 2 * np.stack(draws, axis=1)
    tempering.exchange(
        tempering.log_weights(state),
        state.values,
        state.swaps,
        state.ladder,
        state.walker,
        state.origin,
        state.trips,
        state.rejected,
        0,
    )
    assert 0.1 < state.rejected[0] / chains < 0.9
    counts = np.bincount(np.ravel_multi_index(tuple(kernel.states(state).T.astype(int)), (2,) * 9), minlength=512)
    assert surprise(counts, probabilities(FIELD)) > 1e-6


def test_zeros_are_never_visited_and_are_told():
    kernel = cal.Gibbs()
    state = kernel.init(HARD, seed=0, chains=16)
    for _ in range(20):
        state, _ = kernel.step(state)
        assert all(np.isfinite(HARD.log_weight(x)) for x in kernel.states(state))
    assert not gibbs.ergodic(HARD)
    assert gibbs.ergodic(POTTS)
    nothing = cal.FactorGraph.from_tables((2, 2), [((0, 1), np.zeros((2, 2)))])
    with pytest.raises(cal.Refusal, match="weight zero"):
        kernel.init(nothing, seed=0)


def test_a_ladder_is_evened_and_trips_are_counted():
    glass = cal.Ising.square((6, 6), coupling="gauss:1.0", beta=2.0, seed=1)
    kernel = cal.ParallelTempering(replicas=8, hottest=0.1, adapt=1000)
    state = kernel.init(glass, seed=0, chains=2)
    assert round_trips(state) == 0
    state, _ = kernel.step(state, 1000)
    rejected = rejection(state)
    assert np.ptp(rejected) < 0.25
    assert (np.diff(state.ladder) > 0).all()
    assert state.ladder[0] == 0.1
    assert state.ladder[-1] == 1.0
    assert round_trips(state) > 10
    assert sorted(state.walker[0]) == list(range(8))


def test_chances_that_share_their_first_sixteen_bits_are_told_apart():
    """n = 2 flips with its own chance, 2⁻¹⁷, not with the chance of n = 3, where both are below 2⁻¹⁶."""
    rng = np.random.default_rng(0)
    few = [threshold(p) for p in (2.0**-9, 2.0**-17, 2.0**-26)]
    m, rest = tuple(words for words, _ in few), np.array([rest for _, rest in few])
    lanes, coin = np.ascontiguousarray(streams(rng, 1, RUN).swapaxes(1, 2))[0], streams(rng, 1)[0]
    zeros, ones, yes = np.zeros(RUN, np.uint64), np.full(RUN, ~np.uint64(0)), np.empty(RUN, np.uint64)
    level = np.array([1, 1, 0], np.uint64) * ~np.uint64(0)  # C = 3
    flips, calls = 0, 3000
    for _ in range(calls):
        replica_kernels._few_flips(ones, zeros, zeros, level, m, rest, lanes, coin, yes)  # S = 1
        flips += int(np.bitwise_count(yes).sum())
    expected = calls * RUN * 64 * 2.0**-17
    assert abs(flips - expected) < 6.0 * math.sqrt(2.0 * expected)  # lanes share the coin of a tie
