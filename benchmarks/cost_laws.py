"""What exact engines cost against size and width: CPU seconds of whole warmed calls, and the laws fitted through them.

    Elimination     t = a + b n + c (joint entries)      chains of n spins, open n = L x L glasses in fields
    TransferMatrix  t = a + b n + c n 2^w                open strips of width w, 4w rows, random couplings and fields
    Planar          t = a + b n + c n^1.5                open L x L +-J glasses, error bar and correlations included

Constants are fitted to relative errors, none below zero; the last column is measured over fitted. The least of three
calls after one that warms up; plan and order search are part of a call.

usage: python benchmarks/cost_laws.py [elimination|transfer|planar …]
"""

import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.optimize import nnls

import calipers as cal
from calipers.core.iterate import log_z


def seconds(call: Callable[[], cal.Answer]) -> tuple[float, cal.Answer]:
    """The least CPU time of three calls, and the last answer."""
    best, answer = float("inf"), call()
    for _ in range(3):
        begun = time.process_time()
        answer = call()
        best = min(best, time.process_time() - begun)
    return best, answer


def fitted(columns: list[list[float]], times: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative constants of the law, and measured over fitted times."""
    table, measured = np.array(columns, float), np.array(times)
    constants, _ = nnls(table / measured[:, None], np.ones(len(measured)))
    return constants, measured / (table @ constants)


def show(head: str, rows: list[str], ratios: np.ndarray, law: str) -> None:
    print(head + "  measured/fitted")
    for row, ratio in zip(rows, ratios, strict=True):
        print(f"{row}  {ratio:5.2f}")
    print(law + "\n")


def elimination() -> None:
    chains = [
        (f"chain of {n}", cal.Ising.chain(n, coupling="gauss:1", field="gauss:1", seed=1)) for n in (4, 100, 2000)
    ]
    grids = [
        (f"{side} x {side}", cal.Ising.square(side, coupling="gauss:1", field="gauss:1", periodic=False, seed=side))
        for side in (6, 8, 10, 12, 14, 16, 18, 20, 22)
    ]
    rows, columns, times = [], [], []
    for name, magnet in (*chains, *grids):
        spent, answer = seconds(lambda magnet=magnet: log_z(magnet, cal.Elimination(), time_limit=1e6))
        cells = answer.stats["cells"]
        rows.append(
            f"{name:14s} {magnet.n:6d}  2^{answer.stats['log2_size']:4.1f}  2^{np.log2(cells):4.1f}  {spent:9.5f}"
        )
        columns.append([1.0, magnet.n, cells])
        times.append(spent)
    (a, b, c), ratios = fitted(columns, times)
    law = f"t = {1e3 * a:.2f} ms + {1e6 * b:.1f} us n + {1e9 * c:.2f} ns (joint entries)"
    show("model            spins  table    all   CPU s", rows, ratios, law)


def transfer() -> None:
    rows, columns, times = [], [], []
    for width in (4, 8, 10, 12, 14, 16, 18, 20, 22):
        magnet = cal.Ising.square(
            (4 * width, width), coupling="gauss:1", field="gauss:0.5", beta=0.5, periodic=False, seed=width
        )
        spent, _ = seconds(lambda magnet=magnet: log_z(magnet, cal.TransferMatrix(threads=1), time_limit=1e6))
        rows.append(f"{width:5d}  {magnet.n:5d}  {spent:9.5f}  {1e9 * spent / magnet.n / 2.0**width:9.2f}")
        columns.append([1.0, magnet.n, magnet.n * 2.0**width])
        times.append(spent)
    (a, b, c), ratios = fitted(columns, times)
    law = f"t = {1e3 * a:.2f} ms + {1e6 * b:.1f} us n + {1e9 * c:.2f} ns n 2^w"
    show("width  spins  CPU s      ns/(n 2^w)", rows, ratios, law)


def planar() -> None:
    rows, columns, times = [], [], []
    for side in (16, 32, 64, 128, 256):
        magnet = cal.Ising.square(side, coupling="pm1", beta=1.0, periodic=False, seed=side)
        spent, answer = seconds(lambda magnet=magnet: log_z(magnet, cal.Planar(), time_limit=1e6))
        rows.append(f"{side:4d}  {magnet.n:6d}  {spent:9.5f}  {1e6 * spent / magnet.n:8.2f}  {answer.gap / 2.0:.1e}")
        columns.append([1.0, magnet.n, magnet.n**1.5])
        times.append(spent)
    (a, b, c), ratios = fitted(columns, times)
    law = f"t = {1e3 * a:.2f} ms + {1e6 * b:.1f} us n + {1e9 * c:.1f} ns n^1.5"
    show("side   spins  CPU s      us/spin   error", rows, ratios, law)


if __name__ == "__main__":
    known = {"elimination": elimination, "transfer": transfer, "planar": planar}
    for wanted in sys.argv[1:] or known:
        known[wanted]()
