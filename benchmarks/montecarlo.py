"""Monte Carlo measured: flips a nanosecond, bias against Kaufman's energy, dynamic exponents.

Pieces are independent and resumable: a piece that is in the file of results is not done again.

* speed     Multispin at L = 1024, 4096, 16384, one chain on one thread (CPU time), two chains on two threads (wall
            time); the int8 kernels at L = 1024, MultispinReplicas on a ±J cube; where dwave-samplers is installed (with
            the bench extra), its simulated annealer at one β, the time of the additional sweeps only.
* bias      Multispin at T = 2.5, 2.269, 1.8, L = 128, 16 chains from all spins up: energy against Kaufman's, z by the
            spread of the chains' means (Student's t, 15 degrees of freedom).
* exponents τ of the energy at T_c for L = 8 … 32 (64 by clusters), log-log slope; a Wolff cluster counts as the part of
            the lattice that it moved. Small lattices: effective exponents, with corrections to scaling.

usage: python benchmarks/montecarlo.py [speed|bias|exponents|all [FILE.json]]
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import calipers as cal
from calipers.exact.kaufman import torus_energy
from calipers.sampling.multispin import advance, spins_and_bonds
from calipers.sampling.streams import source

CRITICAL = 0.5 * math.log1p(math.sqrt(2.0))
Piece = tuple[str, Callable[[], dict[str, Any]]]


def multispin(L: int, chains: int, threads: int) -> dict[str, Any]:
    """Flips (updates tried) a nanosecond."""
    state = cal.Multispin().init_lattice((L, L), CRITICAL, source(seed=0), chains)
    advance(state, 1, threads)
    sweeps = max(2, round(2e9 / (L * L)))
    wall, cpu = time.perf_counter(), time.process_time()
    advance(state, sweeps, threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    flips = chains * sweeps * L * L / 1e9
    return {"flips per ns of CPU": flips / cpu, "flips per ns of wall": flips / wall}


def kernel(which: Any, model: cal.AbstractDiscreteModel, chains: int, sweeps: int) -> dict[str, Any]:
    """Updates a nanosecond of CPU time of any kernel."""
    state, _ = which.step(which.init(model, seed=0, chains=chains), 1)
    begun = time.process_time()
    which.step(state, sweeps)
    return {"updates per ns of CPU": chains * sweeps * model.n / 1e9 / (time.process_time() - begun)}


def annealer(L: int) -> dict[str, Any]:
    """The same for the annealer of dwave-samplers at a fixed β."""
    try:
        from dwave.samplers import SimulatedAnnealingSampler
    except ImportError:
        return {"left out": "dwave-samplers is not installed; it comes with the bench extra"}
    bqm = cal.Ising.square(L).to_bqm()

    def seconds(sweeps: int) -> float:
        begun = time.process_time()
        SimulatedAnnealingSampler().sample(
            bqm, num_reads=1, beta_schedule_type="custom", beta_schedule=[CRITICAL] * 4,
            num_sweeps_per_beta=sweeps // 4, num_sweeps=sweeps, seed=1,
        )  # fmt: skip
        return time.process_time() - begun

    few, many = min(seconds(40) for _ in range(2)), min(seconds(840) for _ in range(2))
    return {"updates per ns of CPU": 800 * L * L / 1e9 / (many - few)}


def speed() -> Iterator[Piece]:
    for L in (1024, 4096, 16384):
        yield f"speed Multispin L={L}, one thread", lambda L=L: multispin(L, 1, 1)
        yield f"speed Multispin L={L}, two chains on two threads", lambda L=L: multispin(L, 2, 2)
    square = cal.Ising.square(1024, beta=CRITICAL)
    for which in (cal.Metropolis(), cal.HeatBath(), cal.SwendsenWang()):
        yield f"speed {which!r} L=1024", lambda which=which: kernel(which, square, 1, 10)
    cube = cal.Ising.cubic(16, coupling="pm1", beta=0.9, seed=1)
    for words in (1, 8):
        yield (
            f"speed MultispinReplicas 16^3 ±J, {words} words",
            lambda w=words: kernel(cal.MultispinReplicas(), cube, 64 * w, 400 // w),
        )
    yield "speed HeatBath 16^3 ±J", lambda: kernel(cal.HeatBath(), cube, 1, 1000)
    yield "speed dwave annealer L=256", lambda: annealer(256)


def bias() -> Iterator[Piece]:
    for T, every, count in ((2.5, 22, 3300), (1.8, 10, 3300), (2.269, 720, 3300)):
        yield f"bias L=128 T={T}", lambda T=T, every=every, count=count: energy(128, T, every, count)


def energy(L: int, T: float, every: int, count: int, chains: int = 64) -> dict[str, Any]:
    """Energy per site of chains against Kaufman's; a sixth of the run is burn-in."""
    state = cal.Multispin().init_lattice((L, L), 1 / T, source(seed=7), chains, up=True)
    series = np.zeros((chains, count))
    advance(state, every * count // 6)
    for t in range(count):
        advance(state, every)
        series[:, t] = -spins_and_bonds(state)[:, 1]
    exact = torus_energy((L, L), T) / L**2
    means = series.mean(1) / L**2
    error = float(means.std(ddof=1) / math.sqrt(chains))
    tau = max(0.5, float(cal.autocorrelation_time(series, check=False))) * every
    found = {"exact": exact, "measured": float(means.mean()), "error": error, "z": (means.mean() - exact) / error}
    worth = {"tau": tau, "independent": chains * count * every / (2 * tau), "sweeps": every * count, "chains": chains}
    return {k: float(v) for k, v in found.items()} | worth


def exponents() -> Iterator[Piece]:
    for which, sizes, sweeps in (
        (cal.Metropolis(), (8, 16, 32), 60_000), (cal.HeatBath(), (8, 16, 32), 60_000),
        (cal.SwendsenWang(), (8, 16, 32, 64), 10_000), (cal.Wolff(), (8, 16, 32, 64), 20_000),
    ):  # fmt: skip
        for L in sizes:
            yield f"tau {which!r} L={L}", lambda w=which, L=L, s=sweeps: relaxation(w, L, s)


def relaxation(which: Any, L: int, sweeps: int) -> dict[str, Any]:
    """τ of energy and of |M| at T_c, in sweeps of the lattice."""
    model = cal.Ising.square(L, beta=CRITICAL)
    every = 4 if isinstance(which, cal.Metropolis | cal.HeatBath) and L > 8 else 1
    run = cal.run_chain(model, which, sweeps=sweeps, measure_every=every, seed=3, chains=4)
    scale = 1.0
    if isinstance(which, cal.Wolff):
        _, info = which.step(which.init(model, seed=4, chains=4), 4000)
        scale = float(info.moved.mean()) / 4000 / model.n
    taus = {k: run.tau[k] * scale for k in ("energy", "abs_magnetization")}
    enough = sweeps >= 50 * max(run.tau["energy"], run.tau["abs_magnetization"])
    return taus | {"long enough": enough, "sweeps of the lattice a step": scale}


def slopes(done: dict[str, Any]) -> None:
    """Log-log slopes of τ."""
    for name in ("Metropolis", "HeatBath", "SwendsenWang", "Wolff"):
        points = {int(k.split("L=")[1]): v for k, v in done.items() if k.startswith(f"tau {name}") and v["long enough"]}
        if len(points) > 1:
            x = np.log(sorted(points))
            fits = {
                q: np.polyfit(x, np.log([points[L][q] for L in sorted(points)]), 1)[0]
                for q in ("energy", "abs_magnetization")
            }
            print(f"z of {name}, L = {sorted(points)}:", ", ".join(f"{q} {z:.2f}" for q, z in fits.items()))


def main(which: str = "all", file: str = "montecarlo.json") -> None:
    place = Path(file)
    done = json.loads(place.read_text()) if place.exists() else {}
    parts = {"speed": speed, "bias": bias, "exponents": exponents}
    for part in parts.values() if which == "all" else [parts[which]]:
        for name, piece in part():
            if name not in done:
                begun = time.process_time()
                done[name] = piece() | {"CPU seconds": time.process_time() - begun}
                place.write_text(json.dumps(done, indent=1))
            told = ", ".join(f"{k} {v:.5g}" if isinstance(v, float) else f"{k} {v}" for k, v in done[name].items())
            print(f"{name}: {told}", flush=True)
    slopes(done)


if __name__ == "__main__":
    main(*sys.argv[1:])
