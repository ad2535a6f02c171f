"""Autoregressive networks against CPU time, beside strips, blocks, mini-buckets and annealing, on one core.

Run: python benchmarks/neural.py out.jsonl [--only MODEL …] [--methods NAME …]     rows are appended as they are found
     python benchmarks/neural.py out.jsonl --table                                  the networks' rows, as Markdown
     python benchmarks/neural.py out.jsonl --figure docs/images/neural.svg

Every row: the model, the method, CPU seconds of the process since the method was called (compilation included, fresh
draws of earlier rows not), sides, value. Networks are trained in stages through their checkpoint; after each stage
fresh draws give the ELBO, the importance-sampled log Z and the effective share. Variational errors are log Ẑ − ELBO,
with Ẑ from the same draws: less noisy than log Z − ELBO. What is there already is not done again.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

import calipers as cal
from calipers.core.answer import Answer
from calipers.core.iterate import iterate
from calipers.core.method import Limits, Refusal

CRITICAL = "2.269185314213022"
DELTA = 0.01
MODELS: dict[str, tuple[str, tuple[int, ...]]] = {  # the spec, and the networks' stages
    "8×8 at T_c": (f"square:8x8,T={CRITICAL}", (0, 25, 50, 100, 200, 400, 800, 1600)),
    "16×16 at T_c": (f"square:16x16,T={CRITICAL}", (0, 25, 50, 100, 200, 400, 800)),
    "16×16 ±J glass, β = 1": ("square:16x16,J=pm1,beta=1,seed=1", (0, 50, 100, 200, 400, 800)),
    "SK, N = 20, β = 1": ("sk:20,beta=1,seed=0", (0, 50, 100, 200, 400)),
    "SK, N = 20, β = 3": ("sk:20,beta=3,seed=0", (0, 100, 200, 400)),
    "cubic, N = 256, β = 1": ("regular:3,n=256,J=pm1,beta=1,seed=0", (0, 50, 100, 200, 400)),
    "32×32 at T_c": (f"square:32x32,T={CRITICAL}", (0, 50, 100, 200)),
}
COMPARED = ("16×16 at T_c", "16×16 ±J glass, β = 1")
METHODS: dict[str, Any] = {
    "StructuredMeanField": cal.StructuredMeanField(),
    "Strips": cal.Strips(),
    "ImportanceSampling": cal.ImportanceSampling(search=False),
    "AnnealedImportance": cal.AnnealedImportance(),
}
BUDGET = 60.0  # CPU seconds of each of these
SAMPLES = 16384


def network(steps: int, path: str) -> cal.Autoregressive:
    annealing = 0 if "T_c" in path else 50
    return cal.Autoregressive(steps=steps, samples=SAMPLES, tolerance=0.0, annealing=annealing, checkpoint=path)


def truth(name: str, model: Any) -> float | None:
    """log Z by an exact method of a kind of its own, None for the random cubic graph."""
    if name.startswith("cubic"):
        return None
    method = cal.ClosedForm() if "T_c" in name else cal.Elimination() if name.startswith("SK") else cal.Planar()
    return cal.log_z(model, method, time_limit=600.0).value


def numbers(answer: Answer) -> dict[str, Any]:
    """Sides and value; infinities as null."""
    sides = {"lower": answer.lower.value, "upper": answer.upper.value, "value": answer.value}
    return {k: v if v is not None and math.isfinite(v) else None for k, v in sides.items()}


def staged(model: Any, name: str, stages: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """One row a stage: seconds are those of the mini-buckets and of training."""
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / ("T_c.npz" if "T_c" in name else "glass.npz"))
        for number, steps in enumerate(stages):
            clocks = [time.process_time()]
            limits = Limits(deadline=time.monotonic() + 1e6, gap=0.0, delta=DELTA)
            for answer in iterate(model, network(steps, path), key=jax.random.key(0), limits=limits):
                if "samples" not in answer.stats:
                    clocks.append(time.process_time())
            seconds += clocks[-1] - clocks[0 if number == 0 else 1]
            assert answer.value is not None
            kl = answer.value - answer.stats["elbo"]
            kept = {
                k: answer.stats[k] for k in ("elbo", "elbo_error", "ess", "standard_error", "variables", "features")
            }
            yield {"method": "Autoregressive", "steps": steps, "seconds": seconds, "kl": kl, **numbers(answer), **kept}


def trajectory(model: Any, name: str, method: Any) -> Iterator[dict[str, Any]]:
    """Rows of another method's answers, a tenth apart in the log of time, until the budget is spent."""
    began, last = time.process_time(), 0.0
    limits = Limits(deadline=time.monotonic() + 1e6, gap=0.0, delta=DELTA)
    row: dict[str, Any] | None = None
    for answer in iterate(model, method, key=jax.random.key(0), limits=limits):
        seconds = time.process_time() - began
        row = {"method": name, "seconds": seconds, **numbers(answer)}
        if seconds > 1.1 * last:
            yield row
            last, row = seconds, None
        if seconds > BUDGET:
            break
    if row is not None:
        yield row


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(path: Path, names: list[str], methods: list[str]) -> None:
    done = {(r["model"], r["method"]) for r in read(path)}
    for name in names:
        spec, stages = MODELS[name]
        model = cal.from_spec(spec)
        others = [m for m in METHODS if name in COMPARED]
        for method in ["Autoregressive", *others]:
            if (name, method) in done or method not in methods:
                continue
            exact = truth(name, model)
            rows = (
                staged(model, name, stages)
                if method == "Autoregressive"
                else trajectory(model, method, METHODS[method])
            )
            try:
                for row in rows:
                    with path.open("a") as file:
                        file.write(json.dumps({"model": name, "exact": exact, **row}) + "\n")
            except Refusal as reason:
                print(f"{name}, {method}: {reason}")


def table(rows: list[dict[str, Any]]) -> None:
    print("| model | steps | CPU s | (log Z − ELBO)/log Z | log Ẑ off, relative | ± | effective share |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for r in rows:
        if r["method"] == "Autoregressive":
            scale = abs(r["exact"] or r["value"])
            off = "–" if r["exact"] is None else f"{abs(r['value'] - r['exact']) / scale:.1e}"
            error = f"{r['standard_error'] / scale:.1e}"
            cells = (f"{r['seconds']:.0f}", f"{r['kl'] / scale:.1e}", off, error, f"{r['ess']:.4f}")
            print(f"| {r['model']} | {r['steps']} | " + " | ".join(cells) + " |")


COLOURS = {
    "Autoregressive": "#cc79a7",
    "StructuredMeanField": "#0072b2",
    "Strips": "#d55e00",
    "ImportanceSampling": "#e69f00",
    "AnnealedImportance": "#009e73",
}


def curves(r: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """What of a row is drawn: distances of sides and of the ELBO from log Z, in nats."""
    if r["method"] == "Autoregressive":
        yield "ELBO", r["kl"]
    if r["lower"] is not None:
        yield "lower side", r["exact"] - r["lower"]
    if r["upper"] is not None and r["method"] in ("Strips", "ImportanceSampling"):
        yield "upper side", r["upper"] - r["exact"]


def figure(rows: list[dict[str, Any]], path: str) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    from calipers.plots.style import axes

    plt.rcParams["svg.hashsalt"] = "calipers"
    styles = {"ELBO": "o:", "lower side": "o-", "upper side": "v--"}
    shown, panels = plt.subplots(1, 2, figsize=(11.0, 4.6), layout="constrained", sharey=True)
    for ax, name in zip(panels, COMPARED, strict=True):
        axes(ax)
        lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for r in rows:
            if r["model"] == name:
                for what, distance in curves(r):
                    lines.setdefault((r["method"], what), []).append((r["seconds"], max(distance, 1e-4)))
        for (method, what), points in lines.items():
            x, y = zip(*sorted(points), strict=True)
            ax.plot(x, y, styles[what], ms=3.5, lw=1.3, color=COLOURS[method], label=f"{method}, {what}")
        ax.set(xscale="log", yscale="log", xlabel="CPU seconds, one core", title=name)
        ax.grid(axis="y", alpha=0.2)
    panels[0].set_ylabel("distance from log Z, nats")
    handles, labels = panels[0].get_legend_handles_labels()
    known = set(labels)
    for handle, label in zip(*panels[1].get_legend_handles_labels(), strict=True):
        if label not in known:
            handles, labels = [*handles, handle], [*labels, label]
    shown.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    shown.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", default=list(MODELS), choices=list(MODELS), metavar="MODEL")
    parser.add_argument("--methods", nargs="*", default=["Autoregressive", *METHODS])
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--figure")
    args = parser.parse_args()
    if args.table:
        table(read(args.out))
    elif args.figure:
        figure(read(args.out), args.figure)
    else:
        run(args.out, args.only, args.methods)


if __name__ == "__main__":
    main()
