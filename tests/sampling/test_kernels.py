"""Every Markov kernel through one protocol, and against exact distributions.

Statistical tests have fixed seeds. Energies of independent chains are counted once, after a fixed number of sweeps that
is many autocorrelation times, so that the χ² of the counts is what it says: the limit is passed once in 10⁶.
"""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

import calipers as cal
from calipers.exact.density_of_states import torus_density_of_states
from calipers.sampling import cluster_kernels, gibbs, local, multispin_kernels, packing, replicas, tempering
from calipers.sampling.kernel import leaves, with_leaves
from calipers.sampling.tempering import rejection, round_trips

SQUARE = cal.Ising.square((4, 4), beta=0.4)
FIELD = cal.Ising.square((3, 3), coupling="gauss:0.6", field="gauss:0.5", periodic=False, beta=0.7, seed=3)
GLASS = cal.Ising.cubic((2, 2, 3), coupling="pm1", periodic=False, beta=0.6, seed=2)
WIDE = cal.Ising.square((4, 128), beta=0.4)
ODD = cal.Ising.from_arrays(np.array([[0, 1], [1, 2], [0, 2], [2, 3]]), np.array([1.0, 1, 1, -1]), n=6, beta=0.5)
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
    (cal.HeatBath("random"), GLASS),
    (cal.Gibbs(), POTTS), (cal.Gibbs("coloured"), HARD), (cal.Gibbs("random"), FIELD), (cal.SwendsenWang(), SQUARE),
    (cal.SwendsenWang(), FIELD), (cal.Wolff(), SQUARE), (cal.Wolff(), FIELD), (cal.Wolff(), GLASS), (LADDER, GLASS),
    (LADDER, FIELD), (cal.MultispinReplicas(), SQUARE),
    (cal.MultispinReplicas(), GLASS), (cal.MultispinReplicas(), ODD),
]  # fmt: skip
SLABS = [
    (cal.Multispin(), model)
    for model in (
        WIDE, cal.Ising.square((4, 128), beta=0.4, coupling=-1.0), cal.Ising.cubic((4, 4, 128), beta=0.2),
        cal.Ising.square((6, 128), coupling="pm1", beta=0.5, seed=4),
        cal.Ising.cubic((4, 6, 128), coupling="pm1", beta=0.5, seed=5),
    )
]  # fmt: skip
PROTOCOL = [*CASES, *SLABS]
names = [f"{kernel!r}-{model.n}" for kernel, model in CASES]
all_names = [f"{kernel!r}-{model.n}-{k}" for k, (kernel, model) in enumerate(PROTOCOL)]


def begin(kernel, model, seed=1, chains=64, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # frustration, tested below
        return kernel.init(model, seed=seed, chains=chains, **options)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


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


def probabilities(model):
    """p of every configuration, by mixed radix."""
    x = np.stack(np.unravel_index(np.arange(np.prod(model.domains)), tuple(model.domains)), axis=1)
    log = np.array([model.log_weight(row) for row in x]) if len(x) < 5000 else -model.beta * model.energy(1.0 - 2 * x)
    p = np.exp(log - log.max())
    return p / p.sum()


def surprise(counts, p):
    """The probability of a larger χ², bins of less than 10 expected put together."""
    order = np.argsort(p)
    expected, seen = p[order] * counts.sum(), counts[order]
    small = expected < 10
    expected = np.append(expected[~small], expected[small].sum())
    seen = np.append(seen[~small], seen[small].sum())
    used = expected > 0
    assert seen[~used].sum() == 0
    return chi2.sf(((seen - expected)[used] ** 2 / expected[used]).sum(), max(used.sum() - 1, 1))


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


@pytest.mark.parametrize("beta", [0.3, 0.44, 0.6])
def test_multispin_energies_are_kaufmans(beta):
    from calipers.exact.kaufman import torus_energy

    model = cal.Ising.square((8, 128), beta=beta)
    state = cal.Multispin().init(model, seed=5, chains=8, start=np.zeros(model.n, int))
    meter, series = cal.Multispin().meter(model), []
    for _ in range(600):
        state, _ = cal.Multispin().step(state, 10)
        series.append(meter(state).energy)
    means = np.array(series)[100:].mean(0)
    z = (means.mean() - torus_energy((8, 128), 1 / beta)) / (means.std(ddof=1) / np.sqrt(8))
    assert abs(z) < 5.4  # Student's t with 7 degrees of freedom: once in 10³


@pytest.mark.parametrize(("kernel", "model"), SLABS, ids=range(len(SLABS)))
def test_flips_of_the_first_colour_have_their_probabilities(kernel, model):
    """From random spins: of the black spins with so many bonds broken the right part flips in a sweep; 4.9σ."""
    state = kernel.init(model, seed=8, chains=64)
    before, after = kernel.spins(state), kernel.spins(kernel.step(state, 1)[0])
    black = (np.indices(model.lattice.shape).sum(0) % 2 == 0).ravel()
    pull = np.zeros(before.shape)
    for (i, j), coupling in zip(model.edges, model.couplings, strict=True):
        pull[:, i] += coupling * before[:, j]
        pull[:, j] += coupling * before[:, i]
    cost = np.rint(2 * before * pull)[:, black]
    flipped = (before != after)[:, black]
    for d in np.unique(cost):
        p, tried = min(1.0, np.exp(-model.beta * d)), (cost == d).sum()
        assert abs(flipped[cost == d].sum() - tried * p) <= 4.9 * np.sqrt(tried * p * (1 - p))


def test_energies_of_a_torus_have_their_distribution():
    """Multispin against the exact density of states of the 4×128 torus: χ² of energies 60 sweeps apart."""
    model = WIDE.tempered(0.75)
    states = {e: g for e, g in torus_density_of_states((4, 128)).items() if g}
    levels = np.array(sorted(states))
    log = np.array([math.log(states[e]) for e in levels.tolist()]) - 0.3 * levels
    p = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
    kernel, counts = cal.Multispin(), np.zeros(len(levels))
    state, meter = kernel.init(model, seed=2, chains=256), kernel.meter(model)
    for t in range(21):
        state, _ = kernel.step(state, 60)
        if t:
            np.add.at(counts, np.searchsorted(levels, np.rint(meter(state).energy).astype(int)), 1)
    assert surprise(counts, p) > 1e-6


def test_threads_change_nothing():
    """Chains on threads; a lattice's bands on threads, also more of them than there are bands."""
    for model, chains in ((WIDE, 3), (cal.Ising.square((512, 1024), beta=0.44), 1)):
        state = cal.Multispin().init(model, seed=3, chains=chains)
        one = cal.Multispin().step(state, 9)[0]
        for threads in (2, 3, 7):
            assert same(one, cal.Multispin(threads=threads).step(state, 9)[0])
    with pytest.raises(ValueError, match="threads"):
        cal.Multispin(threads=0)


def test_thresholds_add_up():
    for p in (0.5, 0.3, 1e-4, 1e-9, 1 - 1e-9):
        bits, rest = multispin_kernels.threshold(p)
        value = sum((int(word) & 1) << k for k, word in enumerate(bits))
        assert all(int(word) in (0, 2**64 - 1) for word in bits)
        assert (value + rest) / 2**16 == pytest.approx(p, abs=2.0**-52)
        assert 0 <= rest < 1


def test_packing_goes_both_ways():
    for shape in ((6, 256), (4, 6, 128), (4, 4, 4, 128)):
        for bits in (32, 64):
            up = np.random.default_rng(0).random((2, *shape)) < 0.5
            assert np.array_equal(packing.unpack(packing.pack(up, bits), shape), up)


COMPILED: list[Any] = [
    local.metropolis, local.heat_bath, gibbs.gibbs, cluster_kernels.swendsen_wang, cluster_kernels.wolff,
    replicas.replicas, tempering.exchange, multispin_kernels.half_sweeps,
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
        (cal.MultispinReplicas(), FIELD, "no field"),
        (cal.MultispinReplicas(), cal.Ising.complete(9), "more than 6"),
        (cal.Wolff(), SQUARE.tempered(0.0), "HeatBath"),
        (cal.Metropolis(), POTTS, "not binary"),
    ],
)
def test_refusals(kernel, model, words):
    with pytest.raises(cal.Refusal, match=words):
        kernel.init(model, seed=0, chains=64)


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
    state.spins[:] = 1 - 2 * np.stack(draws, axis=1)
    tempering.exchange(
        state.wiring, state.spins, state.swaps, state.ladder, state.walker, state.origin, state.trips, state.rejected, 0
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
