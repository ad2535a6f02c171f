"""Statistical sides: brackets of published factor graphs at δ = 0.01, and how often brackets fail on known models.

usage: python benchmarks/statistical.py table FOLDER [SECONDS [NAME ...]]   FOLDER holds uai2014/, generated/
       python benchmarks/statistical.py equal FOLDER [NAME ...]             no gap, the seconds that a prototype took
       python benchmarks/statistical.py coverage [SEEDS [DELTA]]

`table` prints, for each model: G = log U − estimate, both sides less the estimate, samples, sampled variables, CPU
seconds (after one small run that loads and compiles). `coverage` counts the seeds whose bracket misses log Z, side by
side.
"""

import sys
import time
from pathlib import Path

import jax

import calipers as cal
from calipers.core.iterate import log_z
from calipers.zoo import random_graph

ROWS = {
    "sg16_b1": "generated/sg16_b1.uai",
    "Grids_11": "uai2014/Grids_11.uai",
    "Grids_15": "uai2014/Grids_15.uai",
    "Segmentation_11": "uai2014/Segmentation_11.uai",
    "ObjectDetection_11": "uai2014/ObjectDetection_11.uai",
    "Promedus_11": "uai2014/Promedus_11.uai",
    "CSP_11": "uai2014/CSP_11.uai",
    "DBN_11": "uai2014/DBN_11.uai",
    "linkage_11": "uai2014/linkage_11.uai",
    "reg3_1000_b0.5": "generated/reg3_1000_b0.5.uai",
    "log-1.cnf": "uai2014/log-1.cnf.uai",
}


EQUAL = {  # CPU seconds of a prototype, which had set its bounds by hand
    "sg16_b1": 3.2, "Grids_11": 1.8, "Grids_15": 7.2, "Segmentation_11": 1.0, "ObjectDetection_11": 2.2,
    "Promedus_11": 1.9, "CSP_11": 2.4, "DBN_11": 5.1, "linkage_11": 22.0, "reg3_1000_b0.5": 134.0, "log-1.cnf": 9.0,
}  # fmt: skip


def table(folder: Path, seconds: float | None, names: list[str]) -> None:
    """One line a model; without `seconds`, those of `EQUAL`, all of them."""
    small = cal.Ising.square((6, 6), coupling="pm1", field="gauss:0.1", seed=1)
    cal.log_z(small, cal.ImportanceSampling(ibound=2, samples=5000), key=jax.random.key(0), delta=0.01)
    for name in names or ROWS:
        path = folder / ROWS[name]
        evidence = Path(f"{path}.evid")
        model = cal.read_uai(path, evidence=evidence if evidence.exists() else None)
        began = time.process_time()
        time_limit, gap = (EQUAL[name], 0.0) if seconds is None else (seconds, 0.01)
        limits = {"time_limit": time_limit, "gap": gap, "delta": 0.01}
        answer = cal.log_z(model, cal.ImportanceSampling(), key=jax.random.key(0), **limits)
        spent = time.process_time() - began
        stats, value = answer.stats, answer.value
        above = answer.deterministic[1].value  # type: ignore[index]
        middle = above if value is None else value
        sides = f"{answer.lower.value - middle:+9.5f} {answer.upper.value - middle:+9.5f}"
        counts = [stats.get(name, 0) for name in ("samples", "sampled", "leaves")]
        print(
            f"{name:20s} G {above - middle:6.2f} (i={stats.get('ibound')})  value {middle:12.5f}  {sides}  "
            f"samples {counts[0]:9d} of {counts[1]:4d} variables, leaves {counts[2]:8d}  {answer.result.name:10s}"
            f" {spent:6.2f} CPU s",
            flush=True,
        )


def coverage(seeds: int, delta: float) -> None:
    """Misses of either side, over seeds; each side may fail with probability δ/2 (the annealed one with δ)."""
    square = cal.Ising.square
    models = {
        "glass 4×4": square((4, 4), coupling="pm1", field="gauss:0.1", seed=1),
        "glass 5×5, cold": square((5, 5), coupling="pm1", field="gauss:0.3", beta=2.0, seed=2),
        "gauss 5×5": square((5, 5), coupling="gauss:1", field="gauss:0.5", seed=3),
        "ferro 5×5, critical": square((5, 5), coupling=1.0, field=0.01, beta=0.44, seed=4),
        "cubic 3×3×2": cal.Ising.cubic((3, 3, 2), coupling="pm1", field="gauss:0.1", seed=5),
        "SK 12": cal.Ising.sherrington_kirkpatrick(12, beta=1.0, seed=6),
        "regular 3, n=20": cal.Ising.random_regular(3, 20, coupling="pm1", beta=1.0, seed=7),
        **{f"random graph {s}": random_graph(s, n=18, states=3, arity=3) for s in (15, 18)},
        **{f"zeros {s}": random_graph(s, n=18, states=3, arity=3, zeros=0.03) for s in (13, 15, 18)},
    }
    importance = cal.ImportanceSampling(ibound=3, samples=3000, sweeps=10, orders=1)
    methods = (importance, cal.AnnealedImportance(chains=128, steps=20))
    for name, model in models.items():
        truth = log_z(model, cal.Elimination()).value
        for method in methods:
            try:
                answers = [log_z(model, method, key=jax.random.key(s), delta=delta, gap=0.0) for s in range(seeds)]
            except cal.Refusal:
                continue
            below = sum(a.lower.value > truth for a in answers)
            above = sum(a.upper.value < truth for a in answers)
            slack = sorted(truth - a.lower.value for a in answers)
            print(
                f"{name:22s} {type(method).__name__:20s} misses below {below:3d} above {above:3d} of {seeds}, "
                f"median log Z − lower {slack[len(slack) // 2]:.3f}, δ spent {max(a.delta for a in answers):.3g}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["table"] and len(sys.argv) > 2:
        table(Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 60.0, sys.argv[4:])
    elif sys.argv[1:2] == ["equal"] and len(sys.argv) > 2:
        table(Path(sys.argv[2]), None, sys.argv[3:])
    elif sys.argv[1:2] == ["coverage"]:
        coverage(int(sys.argv[2]) if len(sys.argv) > 2 else 200, float(sys.argv[3]) if len(sys.argv) > 3 else 0.05)
    else:
        sys.exit(__doc__)
