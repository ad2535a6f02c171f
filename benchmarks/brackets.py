"""How narrow the deterministic bracket is per spin on standard Ising models, after 1, 10 and 30 seconds.

usage: python benchmarks/brackets.py [--piece NAME ...] [--seconds 1 10 30] [--output FILE]

Each method runs alone and warm, once for every time, half of which is for the methods above and half for those below.
Seconds are CPU seconds: the clock that deadlines are on is replaced, so that a busy machine does not matter (set
OPENBLAS_NUM_THREADS=1, or threads that wait are counted too).
One JSON line a piece and time; with --output, lines are appended and pieces that the file has are not run again.
"""

import argparse
import json
import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import calipers as cal
from calipers.core.iterate import iterate
from calipers.core.method import AbstractMethod, Limits
from calipers.models.ising import Ising

CRITICAL, CRITICAL_3D = 0.5 * math.log(1.0 + math.sqrt(2.0)), 0.2216546

Maker = Callable[[], Ising]
MAGNET = ((cal.Strips(),), (cal.RegionBethe(),))
GLASS = ((cal.Strips(),), (cal.StructuredMeanField(),))
SPARSE = ((cal.MiniBucket(),), (cal.StructuredMeanField(),))
DENSE = ((cal.LogDeterminant(),), (cal.StructuredMeanField(),))


def pieces() -> dict[str, tuple[Maker, tuple]]:
    """Name → how to make the model, and its methods above and below."""
    found: dict[str, tuple[Maker, tuple]] = {
        "square 16 ferro critical h=0": (lambda: Ising.square(16, beta=CRITICAL), MAGNET),
        "square 16 ferro critical H=0.1": (lambda: Ising.square(16, beta=CRITICAL, field=0.1), MAGNET),
        "cubic 8 ferro critical": (lambda: Ising.cubic(8, beta=CRITICAL_3D), MAGNET),
        "cubic 8 glass beta=1": (lambda: Ising.cubic(8, coupling="pm1", beta=1.0, seed=0), GLASS),
    }
    for seed in range(5):
        made = {"coupling": "pm1", "field": "gauss:0.1", "beta": 1.0, "periodic": False, "seed": seed}
        found[f"square 16 glass open seed={seed}"] = (lambda made=made: Ising.square(16, **made), GLASS)
    for beta in (0.2, CRITICAL, 0.6):
        found[f"square 64 ferro beta={beta:.3g}"] = (lambda beta=beta: Ising.square(64, beta=beta), MAGNET)
    for beta in (0.5, 1.0):
        regular = lambda beta=beta: Ising.random_regular(3, 200, coupling="pm1", beta=beta, seed=0)  # noqa: E731
        found[f"regular 3 n=200 beta={beta:g}"] = (regular, SPARSE)
        dense = lambda beta=beta: Ising.sherrington_kirkpatrick(100, beta=beta, seed=0)  # noqa: E731
        found[f"sk 100 beta={beta:g}"] = (dense, DENSE)
    return found


def reached(model: Ising, methods: tuple[AbstractMethod, ...], side: str, seconds: float) -> tuple[float, float, str]:
    """The best side within `seconds` a method, CPU seconds, and the method that reached it."""
    sign = 1.0 if side == "upper" else -1.0
    best, name, began = sign * math.inf, "", time.process_time()

    def run(method: AbstractMethod) -> None:
        nonlocal best, name
        until = time.process_time() + seconds
        for answer in iterate(model, method, limits=Limits(deadline=until)):
            found = getattr(answer, side)
            if sign * found.value < sign * best and time.process_time() <= until:
                best, name = found.value, found.method

    for method in methods:  # in a thread, where no alarm on the wall clock cuts it short
        worker = threading.Thread(target=run, args=(method,))
        worker.start()
        worker.join()
    return best, time.process_time() - began, name


def measure(name: str, seconds: float) -> dict:
    """One line of the table."""
    make, (above, below) = pieces()[name]
    model = make()
    upper, cpu_up, by = reached(model, above, "upper", 0.5 * seconds)
    lower, cpu_down, under = reached(model, below, "lower", 0.5 * seconds)
    return {
        "piece": name, "seconds": seconds, "n": model.n, "lower": lower / model.n, "upper": upper / model.n,
        "gap": (upper - lower) / model.n, "cpu": round(cpu_up + cpu_down, 2), "methods": [under, by],
    }  # fmt: skip


def warm() -> None:
    """Loads or compiles the kernels."""
    glass = Ising.square(4, coupling="pm1", field=0.1, seed=0)
    for method in (cal.Strips(steps=2), cal.StructuredMeanField(starts=1), cal.MiniBucket(), cal.LogDeterminant()):
        cal.log_z(glass, method)
    cal.log_z(Ising.square(4, beta=0.1), cal.RegionBethe())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--piece", action="append", choices=list(pieces()))
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 10.0, 30.0])
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    lines = chosen.output.read_text().splitlines() if chosen.output and chosen.output.exists() else []
    done = {(row["piece"], row["seconds"]) for row in map(json.loads, lines)}
    warm()
    time.monotonic = time.process_time
    for name in chosen.piece or pieces():
        for seconds in chosen.seconds:
            if (name, seconds) in done:
                continue
            line = json.dumps(measure(name, seconds))
            print(line, flush=True)
            if chosen.output:
                with open(chosen.output, "a") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
