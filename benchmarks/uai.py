"""The bracket on every instance of a table of mini-bucket upper bounds measured elsewhere: JSON lines, resumable.

    python benchmarks/uai.py FOLDER [NAME ...] [--out uai.jsonl]

FOLDER holds MANIFEST.tsv (name, file, ref_log_Z). Each row may take max(2 s, 3 × the CPU seconds of weighted
mini-buckets with i-bound 16 by merlin, or of what is named instead where that was not run), warmed: imports and kernels
are loaded before. It passes when the upper gap is at most half of theirs, or log Z is exact, and both sides are finite.
A row that `--out` has already is not run again; a bracket that excludes the reference (by more than its six digits) is
flagged "wrong". Where nobody knows log Z, upper gaps are from a lower bound by annealing that holds with probability
0.99 (a minute, not counted).
"""

import argparse
import csv
import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import calipers as cal


class Peer(NamedTuple):
    """The upper bound above log Z that a peer reached, in nats, its CPU seconds, and which it was.

    `bound` is the bound itself where log Z is not known.
    """

    gap: float | None
    seconds: float
    method: str = "WMB(16)"
    bound: float = math.nan


PEERS = {
    "sg10_b1": Peer(0.22, 0.05, "WMB(10)"),
    "sg16_b1": Peer(1.56, 1.9),
    "sk20_b1.0": Peer(0.43, 0.5),
    "ferro100_tc": Peer(1095.0, 20.0, "TRWBP"),
    "reg3_1000_b0.5": Peer(None, 7.0, "WMB(4)", 909.7),
    "reg3_1000_b1.0": Peer(None, 7.0, "WMB(4)", 1516.5),
    "Grids_11": Peer(18.5, 0.9),
    "Grids_15": Peer(7.4, 3.9),
    "Grids_18": Peer(143.0, 3.8),
    "DBN_11": Peer(15.6, 0.2),
    "Segmentation_11": Peer(0.33, 2.0),
    "Promedus_11": Peer(4.4, 1.5),
    "Pedigree_11": Peer(1.8, 1.1),
    "linkage_11": Peer(18.8, 24.0),
    "CSP_11": Peer(2.9, 4.6, "WMB(10)"),
    "Alchemy_11": Peer(0.07, 0.5, "WMB(10)"),
}


def allowed(peer: Peer) -> float:
    """The seconds that a row may take."""
    return max(2.0, 3.0 * peer.seconds)


def load(folder: Path, row: dict[str, str]) -> cal.FactorGraph:
    """The model of one row, with its evidence file if there is one."""
    path = folder / row["file"]
    evidence = Path(f"{path}.evid")
    return cal.read_uai(path, evidence=str(evidence)) if evidence.exists() else cal.read_uai(path)


def solve(model: cal.FactorGraph, peer: Peer, reference: str) -> dict:
    """The bracket, how far its sides are from the reference, and whether the row passes."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = cal.log_z(model, time_limit=allowed(peer))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    low, high = answer.lower.value, answer.upper.value
    z = 0.5 * (low + high) if answer.exact else float(reference) if reference else likely(model, low)
    above, theirs = high - z, peer.gap if peer.gap is not None else peer.bound - z
    slack = 2e-3 + 6e-6 * abs(z)
    return {
        "lower": str(low),
        "upper": str(high),
        "exact": answer.exact,
        "above": above,
        "below": z - low,
        "peer": f"{peer.method} +{theirs:.2f}",
        "allowed": allowed(peer),
        "wall": round(wall, 2),
        "cpu": round(cpu, 2),
        "by": [answer.lower.method, answer.upper.method],
        "wrong": bool(reference) and not low - slack <= float(reference) <= high + slack,
        "passes": math.isfinite(high - low) and (answer.exact or above <= 0.5 * theirs),
    }


def likely(model: cal.FactorGraph, low: float) -> float:
    """What log Z is at least, with probability 0.99."""
    import jax

    answer = cal.log_z(model, cal.AnnealedImportance(), key=jax.random.key(0), delta=0.01, time_limit=60.0)
    return max(low, answer.lower.value)


def shown(row: dict) -> str:
    """One line of the table."""
    sides = "exact" if row["exact"] else f"+{row['above']:.3g} −{row['below']:.3g}"
    verdict = "WRONG" if row["wrong"] else "passes" if row["passes"] else "FALLS SHORT"
    return (
        f"{row['name']:18s} {sides:18s} peer {row['peer']:16s} {row['wall']:6.2f} s wall {row['cpu']:6.2f} s CPU of "
        f"{row['allowed']:5.1f}  {verdict}"
    )


def main() -> None:
    """Solves what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("uai.jsonl"))
    asked = parser.parse_args()
    lines = asked.out.read_text().splitlines() if asked.out.exists() else []
    done = {row["name"]: row for row in map(json.loads, lines)}
    with open(asked.folder / "MANIFEST.tsv") as file:
        listed = {row["name"]: row for row in csv.DictReader(file, delimiter="\t")}
    cal.log_z(cal.from_spec("square:12x12,J=pm1,h=gauss:0.1,seed=1"), time_limit=1.0)  # warms imports and kernels
    for name in asked.names or PEERS:
        if name not in done:
            found = solve(load(asked.folder, listed[name]), PEERS[name], listed[name]["ref_log_Z"])
            done[name] = {"name": name} | found
            with open(asked.out, "a") as out:
                out.write(json.dumps(done[name]) + "\n")
        print(shown(done[name]), flush=True)


if __name__ == "__main__":
    main()
