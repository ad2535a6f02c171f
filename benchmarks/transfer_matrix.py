"""The transfer matrix in figures: nanoseconds a state and site against width; correlation lengths against exact ones.

    t = a + b · 2^w a site: the fitted law, with one and with two threads (CPU time of all threads, and wall clock)

usage: python benchmarks/transfer_matrix.py [WIDEST [ROWS]]
"""

import math
import sys
import time

import numpy as np

from calipers.exact.frontier import best_sweep
from calipers.exact.frontier_passes import Passes
from calipers.exact.infinite_strip import infinite_strip
from calipers.exact.kaufman import strip_correlation_length
from calipers.models.ising import Ising


def passes(width: int, rows: int, threads: int) -> Passes:
    """A strip of random couplings and fields."""
    magnet = Ising.square((rows, width), coupling="gauss:1", field="gauss:0.5", beta=0.5, periodic=False, seed=width)
    sweep = best_sweep(magnet.n, magnet.edges, magnet.lattice, 40, False)
    return Passes.build(magnet, sweep, threads)


def seconds(work: Passes, repeats: int) -> tuple[float, float]:
    """CPU and wall-clock seconds of one forward pass, the least of a few; the first one warms up."""
    best = (math.inf, math.inf)
    for _ in range(repeats + 1):
        cpu, wall = time.process_time(), time.perf_counter()
        work.log_z()
        best = min(best, (time.process_time() - cpu, time.perf_counter() - wall))
    return best


def speeds(widest: int, rows: int) -> None:
    """A table of nanoseconds, and the law through it."""
    print(" w  threads  CPU ns/(state·site)  wall ns/(state·site)  CPU s")
    for threads in (1, 2):
        sizes, times = [], []
        for width in range(8, widest + 1, 2):
            work = passes(width, max(rows, width), threads)
            sites = len(work.fields)
            cpu, wall = seconds(work, 3 if width <= 20 else 1)
            per = 1e9 / (sites * 2.0**width)
            print(f"{width:2d}  {threads:7d}  {cpu * per:19.3f}  {wall * per:20.3f}  {cpu:.4f}", flush=True)
            sizes.append(2.0**width)
            times.append(cpu / sites)
        weights = 1.0 / np.array(times)
        law = np.stack([np.ones(len(sizes)), sizes], axis=1) * weights[:, None]
        a, b = np.linalg.lstsq(law, np.ones(len(sizes)), rcond=None)[0]
        print(f"law, {threads} thread(s): {1e6 * a:.1f} µs + {1e9 * b:.3f} ns · 2^w a site")


def lengths() -> None:
    """Correlation lengths of strips against Kaufman's, and against Onsager's above T_c."""
    print("   T   w  xi by Lanczos     relative to Kaufman  to Onsager  residual  CPU s")
    for T in (2.3, 2.5, 3.0, 4.0):
        onsager = 1.0 / (-math.log(math.tanh(1.0 / T)) - 2.0 / T)
        for width in (4, 8, 12, 16):
            begun = time.process_time()
            strip = infinite_strip(width, T)
            spent = time.process_time() - begun
            xi = strip.correlation_length
            kaufman, limit = xi / strip_correlation_length(width, T) - 1.0, xi / onsager - 1.0
            print(
                f"{T:4.1f}  {width:2d}  {xi:15.12f}  {kaufman:19.1e}  {limit:10.1e}  {strip.residual:8.1e}  {spent:.3f}"
            )


if __name__ == "__main__":
    speeds(int(sys.argv[1]) if len(sys.argv) > 1 else 22, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    lengths()
