"""Monte Carlo measured: flips a nanosecond, bias against Kaufman's energy, dynamic exponents.

Pieces are independent and resumable: a piece that is in the file of results is not done again.

* speed     Multispin on one thread and on two, square, cubic and ±J lattices; MultispinReplicas on a random graph and a
            ±J cube; the other kernels at L = 1024; peapods, thrml and the annealer of dwave-samplers at one temperature
            (`montecarlo_peers.py`; MONTECARLO_PEERS names the Pythons that have them), at sizes that they set up in
            reasonable time; ShardedMultispin.
* scale     ShardedMultispin on 10240² spins: one device, eight virtual ones, two processes: speed, memory, checksum.
* bias      Multispin at T = 2.5, 2.269, 1.8, L = 128, 64 chains from all spins up, 10⁵ independent measurements in all:
            energy against Kaufman's, z by the spread of the chains' means (Student's t, 63 degrees of freedom).
* exponents τ of the energy at T_c for L = 8 … 32 (64 by clusters), log-log slope; a Wolff cluster counts as the part of
            the lattice that it moved. Small lattices: effective exponents, with corrections to scaling.

usage: python benchmarks/montecarlo.py [speed|scale|bias|exponents|all [FILE.json]]
"""

import hashlib
import json
import math
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import calipers as cal
from calipers.exact.kaufman import torus_energy
from calipers.sampling import packing
from calipers.sampling.multispin import advance, spins_and_bonds
from calipers.sampling.sharded import whole
from calipers.sampling.streams import source

CRITICAL = 0.5 * math.log1p(math.sqrt(2.0))
CUBIC = 0.2216546
Piece = tuple[str, Callable[[], dict[str, Any]]]


def multispin(shape: tuple[int, ...], threads: int, sign: bool = False) -> dict[str, Any]:
    """Flips (updates tried) a nanosecond, one lattice; ±J where `sign`."""
    rng = source(seed=0)
    signs = packing.signs(rng.random((len(shape), *shape)) < 0.5, 64) if sign else None
    state = cal.Multispin().init_lattice(shape, CRITICAL if len(shape) == 2 else CUBIC, rng, sign=signs)
    advance(state, 1, threads)
    return paced(lambda sweeps: advance(state, sweeps, threads), math.prod(shape), 1e9)


def paced(run: Callable[[int], None], n: int, updates: float) -> dict[str, Any]:
    """Updates a nanosecond, of CPU and of wall time, the best of three runs."""
    sweeps, best = max(2, round(updates / n)), {"updates per ns of CPU": 0.0, "updates per ns of wall": 0.0}
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        run(sweeps)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        for name, seconds in (("CPU", cpu), ("wall", wall)):
            key = f"updates per ns of {name}"
            best[key] = max(best[key], sweeps * n / 1e9 / seconds)
    return best


def sharded(shape: tuple[int, ...], updates: float = 1e9) -> dict[str, Any]:
    """The same in JAX on all its devices, with a checksum of the spins after a few sweeps, and the memory."""
    import jax

    kernel = cal.ShardedMultispin()
    state = kernel.init_lattice(shape, CRITICAL, source(seed=0))
    state, _ = kernel.step(state, 4)
    check = hashlib.sha256(whole(state.black).tobytes() + whole(state.white).tobytes()).hexdigest()[:16]

    def run(sweeps: int) -> None:
        jax.block_until_ready(kernel.step(state, sweeps)[0].black)

    n = math.prod(shape)
    found = paced(run, n, updates)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds = {f"{k} seconds a sweep": n / 1e9 / found[f"updates per ns of {k}"] for k in ("CPU", "wall")}
    return found | seconds | {"checksum": check, "devices": len(jax.devices()), "GB of the process": memory}


def divided(*arguments: str, devices: int = 1) -> subprocess.Popen[str]:
    """`sharded` of 10240² spins in a process of its own."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, __file__, "divided", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    return json.loads(process.communicate()[0].strip().splitlines()[-1])


def two_processes() -> dict[str, Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    first, second = [told(p) for p in (divided(port, "0"), divided(port, "1"))]
    assert first["checksum"] == second["checksum"]
    return first


def peer(name: str, kind: str, size: int, updates: float) -> dict[str, Any]:
    """Another package, in the Python that MONTECARLO_PEERS names (`thrml=/path/to/python,…`), else in this one."""
    pythons = dict(x.split("=") for x in os.environ.get("MONTECARLO_PEERS", "").split(",") if x)
    script = Path(__file__).with_name("montecarlo_peers.py")
    command = [pythons.get(name, sys.executable), str(script), name, kind, str(size), str(updates)]
    done = subprocess.run(command, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 else {"failed": done.stderr[-300:]}


def kernel(which: Any, model: cal.AbstractDiscreteModel, chains: int, sweeps: int) -> dict[str, Any]:
    """Updates a nanosecond of CPU time of any kernel."""
    state, _ = which.step(which.init(model, seed=0, chains=chains), 1)
    begun = time.process_time()
    which.step(state, sweeps)
    return {"updates per ns of CPU": chains * sweeps * model.n / 1e9 / (time.process_time() - begun)}


def speed() -> Iterator[Piece]:
    for shape in ((1024, 1024), (4096, 4096), (16384, 16384), (128, 128, 128), (256, 256, 256)):
        for threads in (1, 2):
            name = f"speed Multispin {'x'.join(map(str, shape))}, threads {threads}"
            yield name, lambda s=shape, t=threads: multispin(s, t)
    for shape in ((1024, 1024), (128, 128, 128)):
        yield f"speed Multispin ±J {'x'.join(map(str, shape))}", lambda s=shape: multispin(s, 1, True)
    graph = cal.Ising.random_regular(3, 10_000, coupling="pm1", beta=1.0, seed=1)
    cube = cal.Ising.cubic(16, coupling="pm1", beta=0.9, seed=1)
    many = cal.MultispinReplicas()
    for words in (1, 8):
        yield f"speed replicas graph 10000, {64 * words}", lambda w=words: kernel(many, graph, 64 * w, 400 // w)
        yield f"speed replicas 16^3 ±J, {64 * words}", lambda w=words: kernel(many, cube, 64 * w, 800 // w)
    for name, kind, size, updates in PEERS:
        yield f"speed {name} {kind} {size}", lambda a=(name, kind, size, updates): peer(*a)
    square = cal.Ising.square(1024, beta=CRITICAL)
    for which in (cal.Metropolis(), cal.HeatBath(), cal.SwendsenWang(), cal.BlockGibbs(), cal.BlockGibbs(4)):
        yield f"speed {which!r} L=1024", lambda which=which: kernel(which, square, 1, 4)
    for shape in ((1024, 1024), (4096, 4096), (128, 128, 128)):
        yield f"speed ShardedMultispin {'x'.join(map(str, shape))}", lambda s=shape: sharded(s, 3e8)


PEERS = (
    ("peapods", "square", 1024, 3e7), ("thrml", "square", 128, 3e7), ("dwave", "square", 1024, 3e7),
    ("peapods", "cube", 128, 3e7), ("dwave", "cube", 64, 2e7), ("thrml", "cube", 24, 2e7),
    ("peapods", "glass2", 1024, 3e7), ("dwave", "glass2", 512, 2e7), ("thrml", "glass2", 128, 2e7),
    ("dwave", "graph", 10_000, 2e7), ("thrml", "graph", 10_000, 2e7),
)  # fmt: skip


def scale() -> Iterator[Piece]:
    yield "scale 10240^2, one device", lambda: told(divided())
    yield "scale 10240^2, eight virtual devices", lambda: told(divided(devices=8))
    yield "scale 10240^2, two processes", two_processes


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
        (cal.BlockGibbs(), (8, 16, 32), 60_000), (cal.BlockGibbs(4), (8, 16, 32), 30_000),
        (cal.SwendsenWang(), (8, 16, 32, 64), 10_000), (cal.Wolff(), (8, 16, 32, 64), 20_000),
    ):  # fmt: skip
        for L in sizes:
            yield f"tau {which!r} L={L}", lambda w=which, L=L, s=sweeps: relaxation(w, L, s)


def relaxation(which: Any, L: int, sweeps: int) -> dict[str, Any]:
    """τ of energy and of |M| at T_c, in sweeps of the lattice."""
    model = cal.Ising.square(L, beta=CRITICAL)
    every = 4 if isinstance(which, cal.Metropolis | cal.HeatBath | cal.BlockGibbs) and L > 8 else 1
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
    for name in ("Metropolis", "HeatBath", "BlockGibbs(width=1)", "BlockGibbs(width=4)", "SwendsenWang", "Wolff"):
        points = {int(k.split("L=")[1]): v for k, v in done.items() if k.startswith(f"tau {name}") and v["long enough"]}
        if len(points) > 1:
            x = np.log(sorted(points))
            fits = {
                q: np.polyfit(x, np.log([points[L][q] for L in sorted(points)]), 1)[0]
                for q in ("energy", "abs_magnetization")
            }
            print(f"z of {name}, L = {sorted(points)}:", ", ".join(f"{q} {z:.2f}" for q, z in fits.items()))


def main(which: str = "all", file: str = "montecarlo.json", *rest: str) -> None:
    if which == "divided":  # a process of `scale`
        import jax

        if rest:
            jax.distributed.initialize(f"127.0.0.1:{file}", 2, int(rest[0]))
        print(json.dumps(sharded((10240, 10240), 4e8)))
        return
    place = Path(file)
    done = json.loads(place.read_text()) if place.exists() else {}
    parts = {"speed": speed, "scale": scale, "bias": bias, "exponents": exponents}
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
