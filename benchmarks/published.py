"""Brackets on a folder of published factor graphs through the command line: a table with methods, seconds, peak memory.

usage: python benchmarks/published.py FOLDER SECONDS [NAME ...]      FOLDER holds MANIFEST.tsv, as the tests expect it
"""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path


def measure(path: Path, seconds: float) -> tuple[dict, float, float]:
    """The JSON answer, wall seconds and peak memory in GB of one `calipers logz`."""
    command = [str(Path(sys.executable).with_name("calipers")), "logz", str(path), "--json", "--log", "off"]
    command += ["--time-limit", str(seconds)]
    evidence = Path(f"{path}.evid")
    command += ["--evidence", str(evidence)] if evidence.exists() else []
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    text = process.stdout.read()
    usage = os.wait4(process.pid, 0)[2]
    return json.loads(text), time.perf_counter() - begun, usage.ru_maxrss / 1e6


if __name__ == "__main__":
    folder, limit, wanted = Path(sys.argv[1]), float(sys.argv[2]), set(sys.argv[3:])
    with open(folder / "MANIFEST.tsv") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if not wanted or r["name"] in wanted]
    for row in rows:
        answer, wall, peak = measure(folder / row["file"], limit)
        low, high = answer["log_z"]["lower"], answer["log_z"]["upper"]
        shown = " ".join(f"{x:.4f}" if isinstance(x, float) else str(x) for x in (low, high))
        grounds, methods = answer["grounds"], answer["methods"]
        print(
            f"{row['name']:30s} {shown:24s} ref {row['ref_log_Z'] or '-':12s} {grounds['lower']}/{grounds['upper']} "
            f"{methods['lower']} / {methods['upper']} {wall:.1f} s {peak:.2f} GB",
            flush=True,
        )
