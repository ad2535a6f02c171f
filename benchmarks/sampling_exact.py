"""Exact samplers measured: are their frequencies right, and what does a sample cost?

For each model, z-scores of all single and factor marginals over N samples against the exact ones, and the largest |z|
with what the largest of as many independent normal numbers would be (median, and the value exceeded once in a hundred).
Entries expected fewer than 25 times are left out: they are not normal. Time is CPU time of this process.

usage: python benchmarks/sampling_exact.py [N [FOLDER]]     N samples, FOLDER with uai/uai2014/Segmentation_11.uai
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import norm

import calipers as cal
from calipers.exact.sampling import generator, sampler

_PIECE = 20_000  # samples counted together
_FEWEST = 25


def models(folder: Path) -> Iterator[tuple[str, cal.AbstractDiscreteModel, cal.AbstractMethod]]:
    """Names, models and engines; the published model only when it is there."""
    cells, sweep = cal.Elimination(), cal.TransferMatrix()
    glass = {"coupling": "gauss:1.0", "seed": 1, "periodic": False}
    yield "glass 16x16, beta 1", cal.Ising.square((16, 16), beta=1.0, **glass), cells
    yield "glass 16x16, beta 0.2", cal.Ising.square((16, 16), beta=0.2, **glass), cells
    yield "the same by transfer matrix", cal.Ising.square((16, 16), beta=0.2, **glass), sweep
    yield "chain 500", cal.Ising.chain(500, coupling="gauss:1.0", field="gauss:0.5", seed=2, periodic=False), cells
    file = folder / "uai" / "uai2014" / "Segmentation_11.uai"
    if file.is_file():
        yield file.stem, cal.read_uai(file, evidence=f"{file}.evid"), cells
    else:
        print(f"({file.stem} is not in {folder}: left out)")


def count(
    model: cal.AbstractDiscreteModel, engine: cal.AbstractMethod, total: int
) -> tuple[list[np.ndarray], float, float]:
    """Frequencies of every factor's and variable's states; seconds of preparation, seconds of drawing."""
    graph = model.factor_graph()
    scopes = [*((v,) for v in range(graph.n)), *(s for s in graph.scopes if len(s) > 1)]
    sums = [np.zeros(int(np.prod([graph.sizes[v] for v in s])), np.int64) for s in scopes]
    begun = time.process_time()
    found, rng = sampler(engine, model), generator(seed=12345)
    prepared, drawing = time.process_time() - begun, 0.0
    piece = max(_PIECE, found.at_once // max(graph.n, 1))
    for start in range(0, total, piece):
        begun = time.process_time()
        states = found.draw(min(piece, total - start), rng)
        drawing += time.process_time() - begun
        columns = np.ascontiguousarray(states.T)
        for scope, out in zip(scopes, sums, strict=True):
            place = np.ravel_multi_index([columns[v] for v in scope], [graph.sizes[v] for v in scope])
            out += np.bincount(place, minlength=len(out))
    return [s / total for s in sums], prepared, drawing


def scores(
    model: cal.AbstractDiscreteModel, frequencies: list[np.ndarray], total: int
) -> tuple[np.ndarray, np.ndarray]:
    """z of the single marginals, z of the factors' joint ones."""
    exact = cal.moments(model)
    graph = model.factor_graph()
    beliefs = [*exact.marginals, *(exact.factors[a] for a, s in enumerate(graph.scopes) if len(s) > 1)]
    found: tuple[list[float], list[float]] = [], []
    for i, (seen, belief) in enumerate(zip(frequencies, beliefs, strict=True)):
        p = np.asarray(belief).ravel()
        assert (seen[p == 0.0] == 0.0).all(), "an impossible state was drawn"
        usual = (total * p > _FEWEST) & (total * (1 - p) > _FEWEST)
        z = (seen - p)[usual] / np.sqrt(p[usual] * (1 - p[usual]) / total)
        found[i >= graph.n].extend(z.tolist())
    return np.array(found[0]), np.array(found[1])


def largest(m: int, chance: float) -> float:
    """What the largest of m independent |z| exceeds with probability `chance`."""
    return float(norm.ppf(0.5 + 0.5 * (1 - chance) ** (1 / max(m, 1))))


def main(total: int, folder: Path) -> None:
    """A line a model and kind of marginal."""
    cal.sample(cal.Ising.chain(4), 10, seed=0)  # compiled before it is timed
    for name, model, engine in models(folder):
        frequencies, prepared, drawing = count(model, engine, total)
        each = 1e9 * drawing / total
        print(f"{name}: {prepared:.2f} s to prepare, {each:.0f} ns a sample, {each / model.n:.1f} ns a variable")
        for kind, z in zip(("single", "factors"), scores(model, frequencies, total), strict=True):
            usual, rare = largest(len(z), 0.5), largest(len(z), 0.01)
            print(
                f"  {kind:<8} {len(z):6d} z-scores: max |z| {np.abs(z).max(initial=0.0):.2f} "
                f"(independent ones: median {usual:.2f}, 1 % above {rare:.2f}), standard deviation {z.std():.3f}",
                flush=True,
            )


if __name__ == "__main__":
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10**6, Path(sys.argv[2]) if len(sys.argv) > 2 else beside)
