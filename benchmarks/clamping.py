"""Clamping on four models that are not eliminated whole: gap against CPU seconds until it is 0.01 nats.

usage: python benchmarks/clamping.py [SECONDS]      a limit for each model; tables of a part are limited by the method
"""

import sys
import time

import calipers as cal
from calipers.core.iterate import iterate
from calipers.core.method import Limits

SMALL = cal.MiniBucket(ibound=8, sweeps=10, orders=1)
CASES = [
    ("square:10x10,J=pm1,open,beta=1,seed=0", cal.Clamping(leaf_log2_size=6, upper=SMALL)),
    ("sk:20,beta=1,seed=0", cal.Clamping(leaf_log2_size=10)),
    ("sk:30,beta=1,seed=0", cal.Clamping(leaf_log2_size=16)),
    ("regular:3,n=60,J=pm1,beta=1,seed=0", cal.Clamping(leaf_log2_size=5, upper=SMALL)),
]


def measure(spec: str, method: cal.Clamping, seconds: float) -> None:
    """Prints a row whenever the gap has halved."""
    model, begun, printed = cal.from_spec(spec), time.process_time(), float("inf")
    answer = None
    for answer in iterate(model, method, limits=Limits(deadline=time.monotonic() + seconds, gap=0.01)):
        if answer.gap < 0.5 * printed:
            printed = answer.gap
            parts = answer.stats.get("leaves", 0)
            print(f"  {time.process_time() - begun:7.2f} s  {parts:7d} parts  gap {answer.gap:.5f}", flush=True)
    assert answer is not None
    print(f"{spec}: {answer}, {answer.stats}, {time.process_time() - begun:.2f} CPU s", flush=True)


if __name__ == "__main__":
    limit = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    cal.log_z(cal.from_spec("sk:12,beta=1"), cal.Clamping(leaf_log2_size=4))  # compiles the kernels
    for spec, method in CASES:
        measure(spec, method, limit)
