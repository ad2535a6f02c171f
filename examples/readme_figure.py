"""Draws docs/images/bracket.svg: the bracket on log Z of a frustrated magnet, closing with time.

Run: python examples/readme_figure.py [seconds] [file]
"""

import sys
import time

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

import calipers as cal

FIGURE = "docs/images/bracket.svg"


def main(seconds: float, path: str) -> None:
    """Runs the default method and draws every bracket that it passed through."""
    magnet = cal.Ising.square((24, 24), coupling="pm1", field="gauss:0.1", beta=1.0, seed=1)
    limits = cal.Limits(deadline=time.monotonic() + seconds, gap=0.01)
    began, log = time.monotonic(), []
    for answer in cal.iterate(magnet, cal.Auto(), limits=limits):
        log.append((time.monotonic() - began, answer))
    figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    cal.plots.gap_log(log, ax=axes)
    axes.set_title(f"log Z of a 24×24 ±J magnet, {answer.gap:.2g} nats wide after {seconds:.0f} s", fontsize=10)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0, sys.argv[2] if len(sys.argv) > 2 else FIGURE)
