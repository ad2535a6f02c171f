"""Mean field and belief propagation on a side × side magnet with random fields: seconds, ns a message, peak memory.

usage: python benchmarks/large_lattice.py [SIDE [BETA]]      (default 1000, 0.3: belief propagation converges there)
"""

import resource
import sys
import time

import calipers as cal
from calipers.core.iterate import log_z


def run(model: cal.Ising, method: cal.MeanField | cal.Bethe) -> None:
    """One line: wall seconds, sweeps, log Z per site, memory so far, nanoseconds a message."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = log_z(model, method, gap=0.0, time_limit=300.0)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sweeps = int(answer.stats["sweeps"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    value = float("nan") if answer.value is None else answer.value / model.n
    each = 1e9 * wall / (sweeps * 2 * model.e)
    print(
        f"{method!r}: {wall:.1f} s wall, {cpu:.1f} s CPU, {sweeps} sweeps, {each:.1f} ns a directed edge and sweep "
        f"(compilation included), log Z per site {value:.6f}, peak {peak:.2f} GB, {answer.result}",
        flush=True,
    )


if __name__ == "__main__":
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    beta = float(sys.argv[2]) if len(sys.argv) > 2 else 0.3
    magnet = cal.Ising.square((side, side), field="gauss:1", beta=beta, seed=0)
    run(magnet, cal.MeanField(starts=1))
    run(magnet, cal.Bethe())
