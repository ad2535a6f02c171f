"""Planar magnets by Pfaffians: seconds, stated errors, and true errors where another method reaches.

Three tables: open ±J squares of side L, evaluated twice (as they are; and turned by a random gauge, around a random
reference, in another numbering), so that all roundings differ; open ±J strips against elimination; Kaufman's torus.
CPU seconds, kernels compiled beforehand.

usage: python benchmarks/planar.py [SIDES [BETAS]]            (default 32,64,128,256  0.3,1,2,3,5)
       python benchmarks/planar.py --kaufman KAUFMAN_CSV
       python benchmarks/planar.py --certified [SIDES [BETAS]]        (default 32,64  0.3,1,2,3,5: interval arithmetic)
"""

import csv
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import calipers as cal
from calipers.core.iterate import log_z
from calipers.exact.planar_partition import PlanarResult, log_partition_planar, planar_graph


def again(magnet: cal.Ising, K: np.ndarray) -> PlanarResult:
    """The same log Z with other roundings: another numbering of the sites (row by row backwards), another gauge."""
    rng = np.random.default_rng(0)
    flip = rng.choice([-1.0, 1.0], magnet.n)
    edges = magnet.n - 1 - magnet.edges
    order = np.lexsort((edges[:, 0], edges[:, 1]))
    edges, K = edges[order][:, ::-1], (K * flip[magnet.edges[:, 0]] * flip[magnet.edges[:, 1]])[order]
    return log_partition_planar(planar_graph(magnet.n, edges), K, reference=rng.choice([-1.0, 1.0], magnet.n))


def squares(sides: list[int], betas: list[float]) -> None:
    """Seconds, stated errors and differences between two evaluations; the fitted power of n."""
    points = []
    for side in sides:
        magnet = cal.Ising.square(side, coupling="pm1", periodic=False, seed=1)
        began = time.process_time()
        graph = planar_graph(magnet.n, magnet.edges, magnet.lattice)
        drawn = time.process_time() - began
        for beta in betas:
            began = time.process_time()
            found = log_partition_planar(graph, beta * magnet.couplings)
            seconds = time.process_time() - began
            other = again(magnet, beta * magnet.couplings)
            holds = abs(found.value - other.value) <= found.error + other.error
            print(
                f"L={side:4d} beta={beta:<4g} log Z={found.value:.9f} stated {found.error:.1e}, "
                f"differs by {abs(found.value - other.value):.1e} (other stated {other.error:.1e}; "
                f"{'holds' if holds else 'DOES NOT HOLD'}), plan {drawn:.2f} s, evaluation {seconds:.2f} s",
                flush=True,
            )
            if beta <= 1.0:
                points.append((math.log(magnet.n), math.log(max(seconds, 1e-4))))
    if len(sides) > 1:
        slope, _ = np.polyfit(*np.array(points).T, 1)
        print(f"seconds of an evaluation at beta ≤ 1 grow as n^{slope:.2f}")


def strips(betas: list[float]) -> None:
    """True errors on strips of width 16."""
    for beta in betas:
        for seed in range(3):
            magnet = cal.Ising.square((60, 16), coupling="pm1", beta=beta, periodic=False, seed=seed)
            truth = log_z(magnet, cal.Elimination())
            graph = planar_graph(magnet.n, magnet.edges, magnet.lattice)
            found = log_partition_planar(graph, beta * magnet.couplings)
            error = abs(found.value - truth.value)
            holds = error <= found.error + truth.gap / 2
            print(
                f"60×16 beta={beta:<4g} seed={seed} true error {error:.1e} stated {found.error:.1e} "
                f"(elimination's own {truth.gap / 2:.1e}) {'holds' if holds else 'DOES NOT HOLD'}",
                flush=True,
            )


def kaufman(path: str) -> None:
    """Every row of the table, by four Pfaffians."""
    with open(path) as file:
        for row in csv.DictReader(file):
            side, T = int(row["L"]), float(row["T"])
            began = time.process_time()
            answer = log_z(cal.Ising.square(side, beta=1.0 / T), cal.Planar(), time_limit=600.0)
            error = answer.value - float(row["lnZ"])
            seconds = time.process_time() - began
            print(f"L={side} T={T:.6g} error {error:.1e} stated {answer.gap / 2:.1e} {seconds:.2f} s", flush=True)


def certified(sides: list[int], betas: list[float]) -> None:
    """True errors against the same Pfaffians in interval arithmetic, by the independent checker."""
    from calipers_check import check

    with tempfile.TemporaryDirectory() as place:
        for side in sides:
            for beta in betas:
                magnet = cal.Ising.square(side, coupling="pm1", beta=beta, periodic=False, seed=1)
                answer = cal.log_z(magnet, cal.Planar(), time_limit=600.0)
                answer.certificate.save(Path(place, "a.cert"))
                began = time.process_time()
                verdict = check(Path(place, "a.cert"))
                error = max(abs(answer.value - claim.proved) for claim in verdict.claims)
                print(
                    f"L={side:4d} beta={beta:<4g} log Z={answer.value:.9f} true error {error:.1e} stated "
                    f"{answer.stats['error']:.1e}, {'accepted' if verdict.accepted else 'REJECTED'} "
                    f"in {time.process_time() - began:.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--certified"]:
        sides = [int(x) for x in (sys.argv[2] if len(sys.argv) > 2 else "32,64").split(",")]
        certified(sides, [float(x) for x in (sys.argv[3] if len(sys.argv) > 3 else "0.3,1,2,3,5").split(",")])
        sys.exit()
    if sys.argv[1:2] == ["--kaufman"]:
        kaufman(sys.argv[2])
        sys.exit()
    sides = [int(x) for x in (sys.argv[1] if len(sys.argv) > 1 else "32,64,128,256").split(",")]
    betas = [float(x) for x in (sys.argv[2] if len(sys.argv) > 2 else "0.3,1,2,3,5").split(",")]
    warm = cal.Ising.square(4, periodic=False)
    log_partition_planar(planar_graph(16, warm.edges, warm.lattice), warm.couplings)
    squares(sides, betas)
    strips([*betas, 8.0])
