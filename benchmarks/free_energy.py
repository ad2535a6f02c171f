"""Free energies measured: the 64² ferromagnet at T_c by each estimator, over 20 seeds, against Kaufman's log Z.

For each estimator: errors and claimed errors, z = error / claimed error (its mean and spread over seeds: 0 ± 0.22 and
1 ± 0.16 are expected of 20 sound ones), CPU seconds; for annealed importance sampling also the lower side at δ = 0.01,
and how often it failed. Seeds are pieces: one that is in the file of results is not done again.

usage: python benchmarks/free_energy.py [SEEDS [L [FILE.json [BUDGET]]]], with BUDGET times as many sweeps
"""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import calipers as cal

CRITICAL = 0.5 * math.log1p(math.sqrt(2.0))
DELTA = 0.01


def methods(budget: int) -> dict[str, Any]:
    """Estimators at about 25 000 · budget sweeps of the lattice each, a few seconds at L = 64 and budget 1."""
    population, sweeps = 32 * budget, 96 * budget
    return {
        "population annealing": cal.PopulationAnnealing(population=population, populations=8),
        "the same, heat bath": cal.PopulationAnnealing(population=population, populations=8, kernel=cal.HeatBath()),
        "thermodynamic integration": cal.ThermodynamicIntegration(sweeps=sweeps),
        "multistate reweighting": cal.MultistateReweighting(sweeps=sweeps),
        "annealed importance": cal.AnnealedImportance(chains=16, steps=500 * budget),
    }


def measure(method: Any, model: cal.Ising, truth: float, seed: int) -> dict[str, float]:
    """Error, claimed error and CPU seconds of one run."""
    delta = DELTA if isinstance(method, cal.AnnealedImportance) else 0.0
    begun = time.process_time()
    answer = cal.log_z(model, method, key=jax.random.key(seed), gap=0.0, time_limit=600.0, delta=delta)
    found = {"CPU seconds": time.process_time() - begun, "claimed": float(answer.stats["standard_error"])}
    assert answer.value is not None
    found["error"] = answer.value - truth
    return found | ({"lower": answer.lower.value - truth} if delta else {})


def main(seeds: int = 20, L: int = 64, file: str = "free_energy.json", budget: int = 1) -> None:
    place = Path(file)
    done: dict[str, dict[str, float]] = json.loads(place.read_text()) if place.exists() else {}
    model = cal.Ising.square(L, beta=CRITICAL)
    truth = cal.log_z(model, cal.ClosedForm()).value
    assert truth is not None
    print(f"{L}² at T_c: log Z = {truth:.6f}")
    for seed in range(seeds):
        for name, method in methods(budget).items():
            key = f"L={L} {name} {seed} budget={budget}"
            if key not in done:
                done[key] = measure(method, model, truth, seed)
                place.write_text(json.dumps(done, indent=1))
    for name, method in methods(budget).items():
        rows = [done[f"L={L} {name} {seed} budget={budget}"] for seed in range(seeds)]
        error, claimed = (np.array([row[k] for row in rows]) for k in ("error", "claimed"))
        z = error / claimed
        told = f"{name:26s} r.m.s. error {np.sqrt(np.mean(error**2)):.3f}, mean {error.mean():+.3f}, claimed "
        told += f"{np.median(claimed):.3f}; z mean {z.mean():+.2f}, r.m.s. {np.sqrt(np.mean(z**2)):.2f}, most "
        told += f"{np.abs(z).max():.1f}; CPU {np.median([row['CPU seconds'] for row in rows]):.1f} s"
        if "lower" in rows[0]:
            lower = np.array([row["lower"] for row in rows])
            told += f"; lower side at δ={DELTA}: median {np.median(lower):+.2f}, failed {int((lower > 0).sum())}"
        print(told, f"   {method!r}", flush=True)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(int(given.get(1, 20)), int(given.get(2, 64)), given.get(3, "free_energy.json"), int(given.get(4, 1)))
