"""Bit-packed lattices, by Numba and by JAX: acceptance of every class of spins, exact energies, threads, devices."""

import math
import os
import socket
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
from tests.sampling.chains import SLABS, WIDE, same, surprise

import calipers as cal
from calipers.exact.density_of_states import torus_density_of_states
from calipers.sampling import multispin_kernels, packing, sharded_kernels


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
    pull = np.zeros(before.shape) + np.asarray(model.fields)
    for (i, j), coupling in zip(model.edges, model.couplings, strict=True):
        pull[:, i] += coupling * before[:, j]
        pull[:, j] += coupling * before[:, i]
    cost = np.round(2 * before * pull, 9)[:, black]
    flipped = (before != after)[:, black]
    for d in np.unique(cost):
        p, tried = min(1.0, np.exp(-model.beta * d)), (cost == d).sum()
        assert abs(flipped[cost == d].sum() - tried * p) <= 4.9 * np.sqrt(tried * p * (1 - p))


@pytest.mark.parametrize("kernel", [cal.Multispin(), cal.ShardedMultispin()])
def test_energies_of_a_torus_have_their_distribution(kernel):
    """Energies against the exact density of states of the 4×128 torus: χ² of energies 60 sweeps apart."""
    model = WIDE.tempered(0.75)
    states = {e: g for e, g in torus_density_of_states((4, 128)).items() if g}
    levels = np.array(sorted(states))
    log = np.array([math.log(states[e]) for e in levels.tolist()]) - 0.3 * levels
    p = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
    counts = np.zeros(len(levels))
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
        one = cal.Multispin(threads=1).step(state, 9)[0]
        for threads in (2, 3, 7):
            assert same(one, cal.Multispin(threads=threads).step(state, 9)[0])
    with pytest.raises(ValueError, match="threads"):
        cal.Multispin(threads=-1)


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


DIVIDED = """
import hashlib, sys
import jax
import numpy as np
if len(sys.argv) > 1:
    jax.distributed.initialize(f"127.0.0.1:{sys.argv[1]}", 2, int(sys.argv[2]))
import calipers as cal
from calipers.sampling.sharded import spins_and_bonds, whole
from calipers.sampling.streams import source

print(len(jax.devices()), jax.process_count())
for shape, options in (((16, 8, 512), {"field": 0.1}), ((16, 64), {})):
    kernel = cal.ShardedMultispin()
    state = kernel.init_lattice(shape, 0.4, source(seed=1), 2, **options)
    state, _ = kernel.step(state, 5)
    words = whole(state.black).tobytes() + whole(state.white).tobytes()
    print(hashlib.sha256(words).hexdigest(), *spins_and_bonds(state).ravel())
"""


def divided(*arguments, devices=1):
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", DIVIDED, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.splitlines()


def test_devices_change_nothing():
    """One device and eight: the same bits, divided along the first axis of words or, where that is short, the next."""
    one, eight = divided(), divided(devices=8)
    one, eight = told(one), told(eight)
    assert (one[0], eight[0]) == ("1 1", "8 1")
    assert one[1:] == eight[1:]


@pytest.mark.slow
def test_processes_change_nothing():
    """Two processes on loopback: the same bits as one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one, first, second = divided(), divided(port, 0), divided(port, 1)
    one, first, second = told(one), told(first), told(second)
    assert first[0] == second[0] == "2 2"
    assert one[1:] == [x for x in first[1:] if not x.startswith("[Gloo]")]
    assert one[1:] == [x for x in second[1:] if not x.startswith("[Gloo]")]


def test_nothing_compiles_when_couplings_fields_or_temperature_change():
    kernel = cal.ShardedMultispin()

    def run(beta, field, seed):
        model = cal.Ising.square((4, 64), coupling="pm1", beta=beta, field=field, seed=seed)
        state = kernel.init(model, seed=seed, chains=3)
        kernel.meter(model)(kernel.step(state, 1 + seed)[0])

    run(0.4, 0.1, 1)
    compiled: list[Any] = [sharded_kernels.sweeps, sharded_kernels.totals]
    before = [f._cache_size() for f in compiled]
    run(0.7, -0.3, 2)
    assert [f._cache_size() for f in compiled] == before


def test_hashed_bits_are_fair_and_unrelated():
    """Each bit of 2²⁰ words, and pairs: neighbouring words, planes, sweeps and colours; 64-bit sums, 5σ each."""
    like, key = np.zeros((1, 1024, 1024), np.uint32), np.array([3, 4], np.uint32)

    @jax.jit
    def bits(clock, colour, k):
        made = [sharded_kernels.seeds(key, clock, c, like) for c in (0, 1)]
        s, t = (jax.numpy.where(colour == 0, a, b) for a, b in zip(*made, strict=True))
        return jax.lax.switch(k, [lambda k=k: sharded_kernels.plane(s, t, k) for k in (0, 1, 15)])

    def draw(clock, colour, k):
        return np.asarray(bits(np.array([clock], np.uint32), colour, k))[0]

    first = draw(5, 0, 0)
    others = [draw(5, 0, 1), draw(5, 0, 2), draw(6, 0, 0), draw(5, 1, 0), draw(2**31, 0, 0), np.roll(first, 1, 0),
              np.roll(first, 1, 1), (first >> 1) | (first << 31), (first >> 7) | (first << 25)]  # fmt: skip
    for words in (first, *(first ^ x for x in others)):
        ones = np.array([((words >> b) & 1).sum(dtype=np.int64) for b in range(32)])
        assert np.abs(ones - 2**19).max() < 5 * 2**9


def test_bad_choices_of_devices():
    with pytest.raises(ValueError, match="devices"):
        cal.ShardedMultispin(devices=-1)
    with pytest.raises(cal.Refusal, match="JAX has"):
        cal.ShardedMultispin(devices=99).init(WIDE, seed=0)
    with pytest.raises(cal.Refusal, match="one size"):
        cal.ShardedMultispin().init(cal.Ising.square((4, 64), field="gauss:1"), seed=0)
    with pytest.raises(cal.Refusal, match="64"):
        cal.ShardedMultispin().init(cal.Ising.square((4, 32)), seed=0)
