"""Watches the bracket on log Z of a frustrated magnet close, then says what was proved and by what.

Run: python examples/frustrated_magnet.py [seconds]
"""

import sys
import time

import calipers as cal


def main(seconds: float) -> None:
    """Brackets a 20×20 ±J glass in a random field and prints a line whenever a side moves."""
    magnet = cal.Ising.square((20, 20), coupling="pm1", field="gauss:0.1", beta=1.0, seed=1)
    print(magnet.describe()["spec"])
    began, limits = time.monotonic(), cal.Limits(deadline=time.monotonic() + seconds, gap=0.01)
    for answer in cal.iterate(magnet, cal.Auto(), limits=limits):
        print(f"{time.monotonic() - began:6.2f} s  {answer}")
    print(answer.plan)
    print(f"stopped because {answer.result.value}; below: {answer.lower.method}; above: {answer.upper.method}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
