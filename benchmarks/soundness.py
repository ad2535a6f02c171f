"""A thousand random small models: no bound on the wrong side, no true certificate rejected, no false claim accepted.

usage: python benchmarks/soundness.py [--seeds 0:1000] [--out soundness.jsonl]

Each seed draws a model (calipers.testing.drawn), whose log Z is enumerated. Every deterministic method of the catalogue
runs on it; methods for magnets also run on magnets found in factor graphs (Pairs, which compiles for every shape, on an
eighth). All answers are compared with the truth; the certificate of each side is checked against the model's own file;
a claim a little tighter than what the witness proves must be refused; changed witnesses must be refused or prove
something true (calipers.testing.certificates).
One JSON line a seed; seeds that `--out` has already are skipped. Ends with the counts; exit code 1 if anything broke.
"""

import argparse
import collections
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import calipers as cal
from calipers.bounds.recognised import about_whole
from calipers.core.answer import Answer
from calipers.core.method import Limits
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.enumeration import enumerate_all
from calipers.io.npz import write_npz
from calipers.io.uai import read_uai
from calipers.io.uai_writer import write_uai
from calipers.models.ising import Ising
from calipers.models.recognition import as_ising, on_grid
from calipers.models.reduction import as_reduced
from calipers.testing.certificates import Tally, check_certificates
from calipers.testing.drawn import drawn_model
from calipers.testing.requirements import require, slack_of

OF_MAGNETS = (
    cal.Strips(width=3, steps=3),
    cal.Strips(steps=2),
    cal.StructuredMeanField(width=2, starts=1),
    cal.RegionBethe(width=1),
    cal.RegionBethe(width=3),
    cal.LogDeterminant(steps=5),
)
METHODS = (
    cal.Enumeration(),
    cal.Elimination(order_seconds=0.01),
    cal.TransferMatrix(threads=1),
    cal.ClosedForm(),
    cal.Planar(),
    cal.ModelCounting(),
    cal.MeanField(starts=2),
    cal.Tangent(width=2, starts=1, sweeps=3),
    cal.Tangent(width=3, starts=2, sweeps=3),
    cal.MiniBucket(ibound=1, sweeps=3),
    cal.MiniBucket(ibound=2, sweeps=0, orders=1),
    cal.Search(ibound=1, sweeps=3, orders=1),
    cal.Clamping(leaf_log2_size=2, upper=cal.MiniBucket(ibound=1, sweeps=3)),
    cal.Auto(),
)


def as_file(model: AbstractDiscreteModel, folder: Path) -> tuple[AbstractDiscreteModel, dict]:
    """The model as a user's file holds it, and what the checker is told of the file."""
    if isinstance(model, Ising):
        write_npz(model, folder / "m.npz")
        return model, {"model": folder / "m.npz"}
    graph = model.factor_graph()
    write_uai(graph, folder / "m.uai")
    found, file = read_uai(folder / "m.uai"), {"model": folder / "m.uai"}
    if graph.evidence:
        file["evidence"] = folder / "m.uai.evid"
    return found.condition(dict(graph.evidence)), file


def runs(model: AbstractDiscreteModel, seed: int) -> Iterator[tuple[str, Iterator[Answer]]]:
    """Every method that takes the model, by name, and its answers."""
    reduced = None if isinstance(model, Ising) else as_reduced(model)
    found = as_ising(reduced.model) if reduced is not None and reduced.log_constant > -math.inf else None
    magnet = model if isinstance(model, Ising) else None if found is None else on_grid(found)
    special = OF_MAGNETS if seed % 40 > 4 else (*OF_MAGNETS, cal.Pairs(steps=4))
    for method in (*METHODS, *(special if magnet is not None else ())):
        subject = magnet if method in special else model
        try:
            answers = method.answers(subject, method.plan(subject, Limits()))
        except cal.Refusal:
            continue
        if method in special and reduced is not None and magnet is not None:
            yield f"{method!r} in a file", about_whole(answers, reduced, magnet)
        else:
            yield repr(method), answers


def one(seed: int) -> dict:
    """Everything about one seed."""
    began, random, tally = time.process_time(), np.random.default_rng(seed + 1), Tally()
    seen, without = 0, collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, file = as_file(drawn_model(seed), folder)
        log_z = enumerate_all(model.factor_graph())[0]
        slack = slack_of(log_z)
        for method, answers in runs(model, seed):
            best = Answer()
            try:
                for answer in answers:
                    require(answer.lower.value <= log_z + slack, f"lower {answer.lower.value!r} > log Z = {log_z!r}")
                    require(answer.upper.value >= log_z - slack, f"upper {answer.upper.value!r} < log Z = {log_z!r}")
                    best, seen = best & answer, seen + 1
                found = check_certificates(best, model, log_z, folder, random, file)
            except cal.Refusal:
                continue
            except AssertionError as error:
                return {"seed": seed, "broke": f"{method}: {error}"}
            tally = tally.plus(found._replace(without=()))
            without.update(f"{side} in {method}" for side in found.without)
    seconds = round(time.process_time() - began, 2)
    counts = {"accepted": tally.accepted, "refused": tally.refused, "weakened": tally.weakened}
    return {"seed": seed, "answers": seen, **counts, "without": dict(without), "cpu": seconds}


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
