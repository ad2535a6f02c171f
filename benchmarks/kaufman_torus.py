"""Kaufman's finite torus by elimination, beyond its direct reach: L = 16 by clamping one row, up to symmetry.

Direct elimination of the L × L torus needs a table of 2^(2L+1) entries: fine for L = 4 and 8, too much for 16. With
one row clamped the rest is a cylinder of width L (tables of 2^(L+1)), and of the 2^L rows only one in each orbit of
rotations, reflections and the global flip has to be done.

usage: python benchmarks/kaufman_torus.py KAUFMAN_CSV [L [T ...]]
"""

import csv
import sys
import time

import numpy as np

from calipers.exact.bucket_tree import BucketTree
from calipers.exact.ordering import best_order
from calipers.models.ising import Ising


def orbits(side: int) -> dict[int, int]:
    """One row of each orbit, as bits, with the size of the orbit."""
    whole = (1 << side) - 1
    sizes: dict[int, int] = {}
    for row in range(1 << side):
        turned = [((row >> k) | (row << (side - k))) & whole for k in range(side)]
        turned += [int(f"{t:0{side}b}"[::-1], 2) for t in turned]
        first = min([*turned, *(whole - t for t in turned)])
        sizes[first] = sizes.get(first, 0) + 1
    return sizes


def torus_log_z(side: int, beta: float) -> float:
    """log Z of the periodic side × side ferromagnet, J = 1, no field."""
    cylinder = Ising.square((side, side), beta=beta).factor_graph()
    rest = np.arange(side, side * side)
    place = {int(v): i for i, v in enumerate(rest)}
    scopes, tables = [], []
    for scope, table in zip(cylinder.scopes, cylinder.log_tables(), strict=True):
        if len(scope) == 2 and all(v in place for v in scope):
            scopes.append(tuple(place[v] for v in scope))
            tables.append(table)
    ends = [place[v] for v in (*range(side, 2 * side), *range(side * (side - 1), side * side))]
    scopes += [(v,) for v in ends]
    sizes = np.full(len(rest), 2)
    tree = BucketTree.build(sizes, scopes, best_order(sizes, scopes, seconds=1.0).order, keep=False)
    terms = []
    for row, count in orbits(side).items():
        s = 1.0 - 2.0 * ((row >> np.arange(side)) & 1)
        fields = [np.array([beta * x, -beta * x]) for x in np.tile(s, 2)]
        terms.append(np.log(count) + beta * float(s @ np.roll(s, 1)) + tree.log_partition([*tables, *fields])[0])
    return float(np.logaddexp.reduce(terms))


if __name__ == "__main__":
    side = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    wanted = {float(t) for t in sys.argv[3:]}
    with open(sys.argv[1]) as file:
        rows = [r for r in csv.DictReader(file) if int(r["L"]) == side and (not wanted or float(r["T"]) in wanted)]
    for row in rows:
        begun = time.perf_counter()
        value = torus_log_z(side, 1.0 / float(row["T"]))
        error = abs(value / float(row["lnZ"]) - 1.0)
        print(
            f"L={side} T={row['T']} log Z={value:.12f} relative error {error:.1e} {time.perf_counter() - begun:.0f} s",
            flush=True,
        )
