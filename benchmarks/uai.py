"""Brackets on a folder of published factor graphs, method by method: JSON lines, resumable.

usage: python benchmarks/uai.py FOLDER SECONDS [NAME ...] [--method "Search()"] [--out uai.jsonl]

FOLDER holds MANIFEST.tsv (name, file, ref_log_Z). A row that `--out` has already, for the same name, method and
seconds, is skipped; a bracket that excludes the reference (by more than its six digits) is flagged "wrong".
"""

import argparse
import csv
import json
import math
import time
from pathlib import Path

import calipers as cal
from calipers.core.answer import number


def load(folder: Path, row: dict[str, str]) -> cal.FactorGraph:
    """The model of one row, with its evidence file if there is one."""
    path = folder / row["file"]
    evidence = Path(f"{path}.evid")
    return cal.read_uai(path, evidence=str(evidence)) if evidence.exists() else cal.read_uai(path)


def solve(model: cal.FactorGraph, method: cal.AbstractMethod, seconds: float) -> dict:
    """One bracket with its grounds, methods and times; a refusal says why."""
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        answer = cal.log_z(model, method, time_limit=seconds)
    except cal.Refusal as reason:
        return {"refused": str(reason)}
    spent = {"wall": round(time.perf_counter() - wall, 2), "cpu": round(time.process_time() - cpu, 2)}
    return answer.to_dict()["log_z"] | {
        "gap": number(answer.gap),
        "grounds": [str(g) for g in answer.grounds],
        "by": [answer.lower.method, answer.upper.method],
        "result": answer.result.name,
        **spent,
    }


def judged(row: dict, reference: str) -> dict:
    """The row with its reference, and whether the bracket holds it."""
    if not reference or "refused" in row:
        return row
    z = float(reference)
    low, high = (
        math.inf * (1 if row[k] == "inf" else -1) if isinstance(row[k], str) else row[k] for k in ("lower", "upper")
    )
    slack = 2e-3 + 6e-6 * abs(z)
    return row | {"reference": z, "wrong": not low - slack <= z <= high + slack}


def main() -> None:
    """Solves what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--method", default="Auto()")
    parser.add_argument("--out", type=Path, default=Path("uai.jsonl"))
    asked = parser.parse_args()
    method = eval(asked.method, {name: getattr(cal, name) for name in cal.__all__})
    lines = asked.out.read_text().splitlines() if asked.out.exists() else []
    done = {(r["name"], r["method"], r["seconds"]) for r in map(json.loads, lines)}
    with open(asked.folder / "MANIFEST.tsv") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if not asked.names or r["name"] in asked.names]
    for row in rows:
        key = {"name": row["name"], "method": repr(method), "seconds": asked.seconds}
        if tuple(key.values()) in done:
            continue
        found = key | judged(solve(load(asked.folder, row), method, asked.seconds), row["ref_log_Z"])
        print(json.dumps(found), flush=True)
        with open(asked.out, "a") as out:
            out.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
