"""Draws docs/images/bracket.svg: the bracket on log Z of a frustrated magnet closes around the exact value.

Run: python examples/readme_figure.py [seconds] [file]     (the exact value takes a minute or two more)
"""

import sys
import time

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

import calipers as cal

FIGURE = "docs/images/bracket.svg"


def watch(magnet: cal.Ising, seconds: float) -> list[tuple[float, float, float]]:
    """Rows (seconds, lower, upper), one whenever a side moved."""
    began, rows = time.monotonic(), []
    limits = cal.Limits(deadline=began + seconds, gap=0.01)
    for answer in cal.iterate(magnet, cal.Auto(), limits=limits):
        rows.append((time.monotonic() - began, answer.lower.value, answer.upper.value))
    return rows


def main(seconds: float, path: str) -> None:
    """Runs the default method and draws every bracket that it passed through."""
    magnet = cal.Ising.square((24, 24), coupling="pm1", field="gauss:0.1", beta=1.0, seed=1, periodic=False)
    rows = watch(magnet, seconds)
    truth = cal.log_z(magnet, cal.Elimination(), time_limit=1200.0).value
    plt.rcParams["svg.hashsalt"] = "calipers"  # the same bytes whenever the numbers are the same
    figure, axes = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
    cal.plots.gap_log(rows, truth=truth, ax=axes)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0, sys.argv[2] if len(sys.argv) > 2 else FIGURE)
