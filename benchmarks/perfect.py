"""Perfect samples of the square ferromagnet, and (ε, δ) intervals for its log Z, against Kaufman's exact values.

usage: python benchmarks/perfect.py samples [SECONDS]                  CPU time a sample, energies against Kaufman
       python benchmarks/perfect.py widths METHOD SIDE T [SECONDS [GAP]]   one bracket at δ = 0.01, gap 0 by default
       python benchmarks/perfect.py coverage METHOD SIDE T SEEDS [FIRST]   misses at δ = 0.05, runs of a fixed size

METHOD is TootsiePop or BidirectionalAnnealing. Every piece prints as it goes and can be run by itself; `coverage` can
go on from seed FIRST. Times are CPU seconds of this process, after a small run that loads the kernels.
"""

import math
import sys
import time

import jax
import numpy as np

import calipers as cal
from calipers.core.iterate import log_z
from calipers.exact.kaufman import torus_energy, torus_heat_capacity
from calipers.sampling.perfect import Coupler, ferromagnet

TC = 2.0 / math.log1p(math.sqrt(2.0))
SIZES = {  # for coverage: runs of a fixed size, (method, side) → arguments
    ("TootsiePop", 16): {"runs": 64},
    ("TootsiePop", 32): {"runs": 16},
    ("BidirectionalAnnealing", 16): {"chains": 60, "steps": 60, "width": 8},
    ("BidirectionalAnnealing", 32): {"chains": 40, "steps": 150, "width": 10},
    ("BidirectionalAnnealing", 64): {"chains": 24, "steps": 400, "width": 12},
}


def magnet(side: int, T: float) -> cal.Ising:
    """The torus."""
    return cal.Ising.square((side, side), beta=1.0 / T)


def samples(seconds: float) -> None:
    """One line a size and temperature: cost, sweeps, z of the energy and of the magnetization."""
    for side in (16, 32, 64, 128):
        for T in (3.0, TC, 1.8):
            model, rng = magnet(side, T), np.random.default_rng(side)
            coupler = Coupler(ferromagnet(model), "bonds")
            coupler.draw(1.0, rng)
            began, spins = time.process_time(), list[np.ndarray]()
            while len(spins) < 10 or time.process_time() - began < seconds:
                spins.append(coupler.draw(1.0, rng))
            cost = (time.process_time() - began) / len(spins)
            energies = model.energy(np.array(spins, np.float64))
            width = T * math.sqrt(torus_heat_capacity((side, side), T=T) / len(spins))
            z = (energies.mean() - torus_energy((side, side), T=T)) / width
            m = np.array(spins).sum(axis=1)
            print(
                f"{side:4d}² T {T:.3f}  {1e3 * cost:9.3f} ms a sample, {coupler.sweeps / coupler.draws:5.1f} sweeps, "
                f"{len(spins):6d} samples: z of E {z:+.2f}, of M {m.mean() / m.std() * math.sqrt(len(m)):+.2f}",
                flush=True,
            )


def widths(name: str, side: int, T: float, seconds: float, gap: float) -> None:
    """One bracket, less the exact value."""
    method, model = getattr(cal, name)(), magnet(side, T)
    log_z(magnet(8, 3.0), getattr(cal, name)(), key=jax.random.key(0), delta=0.01, time_limit=120.0, gap=2.0)
    truth, began, wall = float(log_z(model, cal.ClosedForm()).lower), time.process_time(), time.monotonic()
    answer = log_z(model, method, key=jax.random.key(1), delta=0.01, time_limit=seconds, gap=gap)
    below, above = answer.lower.value - truth, answer.upper.value - truth
    print(
        f"{name:22s} {side:3d}² T {T:.3f}: [{below:+.4f}, {above:+.4f}] width {answer.gap:.4f}, "
        f"{time.process_time() - began:.1f} CPU s in {time.monotonic() - wall:.1f} s, {answer.stats}",
        flush=True,
    )


def coverage(name: str, side: int, T: float, seeds: int, first: int) -> None:
    """Misses of the bracket over seeds, with the median width."""
    method, model = getattr(cal, name)(**SIZES[name, side]), magnet(side, T)
    truth, below, above, began = float(log_z(model, cal.ClosedForm()).lower), 0, 0, time.process_time()
    gaps: list[float] = []
    for seed in range(first, first + seeds):
        answer = log_z(model, method, key=jax.random.key(seed), delta=0.05, gap=0.0, time_limit=1e6)
        below, above = below + (answer.lower.value > truth), above + (answer.upper.value < truth)
        gaps.append(answer.gap)
        if (seed + 1 - first) % 10 == 0 or seed + 1 == first + seeds:
            print(
                f"{method!r} {side}² T {T:.3f}: seeds {first}–{seed}, missed {below} below, {above} above, "
                f"median width {np.median(gaps):.3f}, {(time.process_time() - began) / len(gaps):.2f} CPU s each",
                flush=True,
            )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["samples", *more]:
            samples(float(more[0]) if more else 5.0)
        case ["widths", name, side, T, *more]:
            seconds, gap = float(more[0]) if more else 60.0, float(more[1]) if len(more) > 1 else 0.0
            widths(name, int(side), TC if T == "Tc" else float(T), seconds, gap)
        case ["coverage", name, side, T, seeds, *more]:
            coverage(name, int(side), TC if T == "Tc" else float(T), int(seeds), int(more[0]) if more else 0)
        case _:
            print(__doc__)
