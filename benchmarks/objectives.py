"""Why KL? The same Gaussians by five objectives, on eight posteriors: which objective is better at what.

Run: python benchmarks/objectives.py out.jsonl [--seeds 3] [--only NAME …]      a row is appended when it is done
     python benchmarks/objectives.py out.jsonl --table                          medians over seeds, as Markdown
     python benchmarks/objectives.py out.jsonl --figure docs/images/objectives.svg

Of each fit: log Z − ELBO; the error of the importance-sampled log Z; k̂; the mean's error in posterior deviations (root
mean square over coordinates); the deviations' ratio to the posterior's (geometric mean); CPU seconds with compilation.
Posterior moments are those of Auto's weighted draws.
"""

import argparse
import json
import math
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import targets

from calipers.auto.candidates import candidates, look_for_modes
from calipers.core.method import Limits
from calipers.variational.approximation import Elliptical
from calipers.variational.assessment import assess
from calipers.variational.divergences import fit_divergence
from calipers.variational.modes import find_modes
from calipers.variational.target import Target

NAMES = (
    *("one normal", "blr10", "arK", "eight schools", "German credit"),
    *("Brownian, unknown scales", "funnel10", "bimodal20"),
)
OBJECTIVES = {
    "KL(q‖p)": ("kl", 0.0),
    "Rényi ½": ("renyi", 0.5),
    "third order": ("perturbative", 0.0),
    "KL(p‖q)": ("forward", 0.0),
    "Stein": ("stein", 0.0),
}
RANKS = ("diagonal", "full")


def moments(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and deviations of the flat coordinates, from the best trial density's weighted draws."""
    random = np.random.default_rng(99)
    found = look_for_modes(target, random)
    tried = list(candidates(target, found.modes, random, Limits()))
    best = min(tried, key=lambda c: (c.found.k_hat > 0.7, c.found.error)).found.q
    drawn = assess(target, best, random, 2**16)
    w = np.exp(drawn.log_weights - np.logaddexp.reduce(drawn.log_weights))
    mean = w @ drawn.draws
    return mean, np.sqrt(w @ (drawn.draws - mean) ** 2)


def row(target: Target, log_z: float, truth: tuple[np.ndarray, np.ndarray], label: str, rank: str, seed: int) -> dict:
    """One fit, from the best mode, and what fresh draws say of it."""
    objective, alpha = OBJECTIVES[label]
    random, began = np.random.default_rng(seed), time.process_time()
    modes = find_modes(target, random, starts=8)
    start = modes[0].laplace if modes else Elliptical(np.zeros(target.dimension), np.ones(target.dimension))
    q = fit_divergence(target, start, random, objective, rank=rank, alpha=alpha).q
    seconds = time.process_time() - began
    found = assess(target, q, random, 2**14)
    deviations = np.sqrt(q.covariance.diagonal())
    return {
        "objective": label,
        "rank": rank,
        "seed": seed,
        "elbo_gap": log_z - found.elbo,
        "error": abs(found.log_z - log_z),
        "k_hat": found.k_hat,
        "mean": float(np.sqrt(np.mean(((q.mean - truth[0]) / truth[1]) ** 2))),
        "spread": float(np.exp(np.mean(np.log(deviations / truth[1])))),
        "seconds": seconds,
    }


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(path: Path, names: list[str], seeds: int) -> None:
    done = {(r["target"], r["objective"], r["rank"], r["seed"]) for r in read(path)}
    for known in (targets.TARGETS[name] for name in names):
        wanted = [(o, r, s) for s in range(seeds) for r in RANKS for o in OBJECTIVES]
        wanted = [key for key in wanted if (known.name, *key) not in done]
        if not wanted:
            continue
        target = Target(known.make())
        truth = moments(target)
        for key in wanted:
            found = row(target, known.log_z, truth, *key)
            with path.open("a") as file:
                file.write(json.dumps({"target": known.name, **found}) + "\n")


def middle(rows: list[dict[str, Any]], name: str, label: str, rank: str, field: str) -> float:
    """The median over seeds."""
    values = [r[field] for r in rows if (r["target"], r["objective"], r["rank"]) == (name, label, rank)]
    return median(values) if values else math.nan


def table(rows: list[dict[str, Any]]) -> None:
    for rank in RANKS:
        print(f"\n{rank}: log Z − ELBO / |error of log Z| / k̂ / mean off / deviations' ratio\n")
        print("| target | " + " | ".join(OBJECTIVES) + " |\n|---|" + "---|" * len(OBJECTIVES))
        for name in NAMES:
            cells = []
            for label in OBJECTIVES:
                gap, error, k, mean, spread = (
                    middle(rows, name, label, rank, field) for field in ("elbo_gap", "error", "k_hat", "mean", "spread")
                )
                cells.append(f"{gap:.3g} / {error:.2g} / {k:.2f} / {mean:.2g} / {spread:.2f}")
            print(f"| {name} | " + " | ".join(cells) + " |")


def figure(rows: list[dict[str, Any]], path: str) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "calipers"
    panels = (("elbo_gap", "log Z − ELBO, nats", True), ("error", "|error of log Z|, nats", True))
    panels += (("spread", "deviations, ratio to the posterior's", False),)
    shown, axes = plt.subplots(1, 3, figsize=(11.0, 4.2), layout="constrained", sharey=True)
    for ax, (field, title, log) in zip(axes, panels, strict=True):
        for i, label in enumerate(OBJECTIVES):
            values = [middle(rows, name, label, "diagonal", field) for name in NAMES]
            floor = [
                min(max(v, 1e-4), 1e3) if log else min(v, 2.0) for v in values
            ]  # what is off the scale is at its edge
            ax.plot(floor, np.arange(len(NAMES)) + 0.13 * (i - 2), "o", ms=5, label=label)
        ax.set_xlabel(title)
        if log:
            ax.set_xscale("log")
        else:
            ax.axvline(1.0, color="grey", lw=0.8)
        ax.grid(axis="y", alpha=0.2)
    axes[0].set_yticks(range(len(NAMES)), NAMES)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    shown.legend(handles, labels, title="independent normals by", loc="outside upper center", ncols=5, fontsize=8)
    shown.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(NAMES))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--figure")
    args = parser.parse_args()
    if args.table:
        table(read(args.out))
    elif args.figure:
        figure(read(args.out), args.figure)
    else:
        run(args.out, args.only, args.seeds)


if __name__ == "__main__":
    main()
