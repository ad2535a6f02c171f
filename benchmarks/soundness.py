"""A thousand random small models: no bound on the wrong side, no true certificate rejected, no false claim accepted.

usage: python benchmarks/soundness.py [--seeds 0:1000] [--out soundness.jsonl]

Each seed draws a model (calipers.testing.drawn), whose log Z is enumerated. Every deterministic method of the catalogue
runs on it; methods for magnets also run on magnets found in factor graphs (Pairs, which compiles for every shape, on an
eighth). All answers are compared with the truth; the certificate of each side is checked against the model's own file;
a claim a little tighter than what the witness proves must be refused; changed witnesses must be refused or prove
something true (calipers.testing.soundness). One JSON line a seed; seeds that `--out` has already are skipped. Ends with
the counts; exit code 1 if anything broke.
"""

import argparse
import collections
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from calipers.exact.enumeration import enumerate_all
from calipers.testing.drawn import drawn_model
from calipers.testing.soundness import soundness


def one(seed: int) -> dict:
    """Everything about one seed."""
    began, model = time.process_time(), drawn_model(seed)
    log_z = enumerate_all(model.factor_graph())[0]
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = soundness(model, log_z, Path(folder), np.random.default_rng(seed + 1), pairs=seed % 40 < 5)
        except AssertionError as error:
            return {"seed": seed, "broke": str(error)}
    counts = {name: getattr(found.tally, name) for name in ("accepted", "refused", "weakened")}
    seconds = round(time.process_time() - began, 2)
    return {"seed": seed, "answers": found.answers, **counts, "without": found.without, "cpu": seconds}


def main() -> None:
    """Runs the seeds that are missing, and adds up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", default="0:1000", help="first:last, the last one left out")
    parser.add_argument("--out", type=Path, default=Path("soundness.jsonl"))
    options = parser.parse_args()
    first, last = map(int, options.seeds.split(":"))
    done = (
        {json.loads(line)["seed"] for line in options.out.read_text().splitlines()} if options.out.exists() else set()
    )
    for seed in range(first, last):
        if seed not in done:
            with options.out.open("a") as out:
                out.write(json.dumps(one(seed)) + "\n")
    rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    broke = [row for row in rows if "broke" in row]
    sums = {key: sum(row.get(key, 0) for row in rows) for key in ("answers", "accepted", "refused", "weakened", "cpu")}
    without = collections.Counter()
    for row in rows:
        without.update(row.get("without", {}))
    print(f"{len(rows)} models, {len(broke)} broke;", ", ".join(f"{v:.6g} {k}" for k, v in sums.items()))
    for what, count in [*without.most_common(), *((f"seed {r['seed']}: {r['broke']}", 1) for r in broke)]:
        print(f"{count:6d}  {what}")
    sys.exit(bool(broke))


if __name__ == "__main__":
    main()
