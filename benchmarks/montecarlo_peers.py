"""Attempted updates a nanosecond of CPU time by other packages, each in the Python that has it.

A model is `square L`, `cube L`, `glass2 L`, `glass3 L` (±J, periodic) or `graph n` (a random graph of degree 3, ±J).
The time is that of many sweeps less that of few, the least of two runs each, so that setting up and compiling do not
count. Needs numpy and the package alone.

usage: python benchmarks/montecarlo_peers.py dwave|peapods|thrml MODEL SIZE UPDATES
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

BETA = {"square": 0.4406868, "cube": 0.2216546, "glass2": 1.0, "glass3": 0.9, "graph": 1.0}
Bonds = tuple[tuple[int, ...], np.ndarray, np.ndarray]


def model(kind: str, size: int) -> Bonds:
    """The sides, the edges (e, 2), and the couplings."""
    rng = np.random.default_rng(1)
    if kind == "graph":
        edges = graph(size, rng)
        return (size,), edges, rng.choice([-1.0, 1.0], len(edges))
    d = 3 if kind in ("cube", "glass3") else 2
    sites = np.arange(size**d).reshape((size,) * d)
    edges = np.concatenate([np.stack([sites.ravel(), np.roll(sites, -1, a).ravel()], 1) for a in range(d)])
    signs = rng.choice([-1.0, 1.0], len(edges)) if kind.startswith("glass") else np.ones(len(edges))
    return (size,) * d, edges, signs


def graph(n: int, rng: np.random.Generator) -> np.ndarray:
    """A random cubic graph: three random matchings that share no edge."""
    while True:
        pairs = [np.sort(rng.permutation(n).reshape(-1, 2), axis=1) for _ in range(3)]
        edges = np.concatenate(pairs)
        keep = np.unique(edges, axis=0)
        if len(keep) == len(edges):
            return keep


def per_nanosecond(run: Callable[[int], None], n: int, updates: float) -> float:
    """Updates a nanosecond of a function that does so many sweeps."""

    def seconds(sweeps: int) -> float:
        begun = time.process_time()
        run(sweeps)
        return time.process_time() - begun

    many = max(8, round(updates / n))
    few = max(2, many // 8)
    run(few)
    seconds_few, seconds_many = min(seconds(few) for _ in range(2)), min(seconds(many) for _ in range(2))
    return (many - few) * n / 1e9 / (seconds_many - seconds_few)


def dwave(kind: str, size: int) -> tuple[Callable[[int], None], int]:
    import dimod
    from dwave.samplers import SimulatedAnnealingSampler

    shape, edges, signs = model(kind, size)
    n = int(np.prod(shape))
    bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
        np.zeros(n), (edges[:, 0], edges[:, 1], -signs), 0.0, dimod.SPIN
    )

    def run(sweeps: int) -> None:
        SimulatedAnnealingSampler().sample(
            bqm, num_reads=1, beta_schedule_type="custom", beta_schedule=[BETA[kind]] * 2,
            num_sweeps_per_beta=sweeps // 2, num_sweeps=sweeps // 2 * 2, seed=1,
        )  # fmt: skip

    return run, n


def peapods(kind: str, size: int) -> tuple[Callable[[int], None], int]:
    from peapods import Ising

    if kind == "graph":
        raise ImportError("peapods has lattices only")
    shape = (size,) * (3 if kind in ("cube", "glass3") else 2)
    magnet = Ising(
        shape, couplings="bimodal" if kind.startswith("glass") else "ferro", temperatures=np.array([1 / BETA[kind]])
    )

    def run(sweeps: int) -> None:
        magnet.sample(sweeps, sweep_mode="metropolis", sequential=True)

    return run, size ** len(shape)


def thrml(kind: str, size: int) -> tuple[Callable[[int], None], int]:
    import jax
    import jax.numpy as jnp
    from thrml import Block, SamplingSchedule, SpinNode, sample_states
    from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init

    shape, edges, signs = model(kind, size)
    n = int(np.prod(shape))
    nodes = [SpinNode() for _ in range(n)]
    pairs = [(nodes[i], nodes[j]) for i, j in edges.tolist()]
    magnet = IsingEBM(nodes, pairs, jnp.zeros(n), jnp.asarray(signs, jnp.float32), jnp.array(BETA[kind]))
    colours = colouring(n, edges)
    blocks = [Block([nodes[i] for i in np.flatnonzero(colours == c)]) for c in range(colours.max() + 1)]
    program = IsingSamplingProgram(magnet, blocks, clamped_blocks=[])
    start = hinton_init(jax.random.key(0), magnet, blocks, ())
    compiled = {}

    def run(sweeps: int) -> None:
        if sweeps not in compiled:
            schedule = SamplingSchedule(n_warmup=sweeps, n_samples=1, steps_per_sample=1)
            ask = jax.jit(lambda key: sample_states(key, program, schedule, start, [], [blocks[0]]))
            compiled[sweeps] = ask.lower(jax.random.key(1)).compile()
        jax.block_until_ready(compiled[sweeps](jax.random.key(1)))

    run(8)
    return run, n


def colouring(n: int, edges: np.ndarray) -> np.ndarray:
    """A greedy colouring."""
    near: list[list[int]] = [[] for _ in range(n)]
    for i, j in edges.tolist():
        near[i].append(j)
        near[j].append(i)
    colour = np.full(n, -1)
    for i in range(n):
        taken = {colour[j] for j in near[i]}
        colour[i] = next(c for c in range(len(taken) + 1) if c not in taken)
    return colour


def main(peer: str, kind: str, size: str, updates: str) -> None:
    try:
        run, n = {"dwave": dwave, "peapods": peapods, "thrml": thrml}[peer](kind, int(size))
    except ImportError as missing:
        print(json.dumps({"left out": str(missing)}))
        return
    print(json.dumps({"updates per ns of CPU": per_nanosecond(run, n, float(updates))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
