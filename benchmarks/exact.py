"""Exact log Z beside the peers: CPU seconds of a warmed call, and peak memory, on published factor graphs, in one run.

    python benchmarks/exact.py FOLDER OUT.jsonl [--seconds 60] [--memory 16] [--solvers calipers,dwave,…] [NAME …]
    python benchmarks/exact.py --table OUT.jsonl

FOLDER holds MANIFEST.tsv. Rows that stand in OUT.jsonl are not run again, so that a run can be cut short and resumed.
Every solver works in a process of its own: the model is read by Calipers and handed over in the solver's own form (not
timed), then solved twice; `cold` and `warm` are the CPU seconds of the two calls, all threads; where the second took
less than 50 ms, `warm` is the mean of as many further calls as fill 0.2 s. A solver that has not answered once within
`--seconds` of CPU time, imports and reading included, or that outgrows `--memory` GB, has failed: a busy machine fails
nobody.
"""

import argparse
import csv
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOLVERS = ("calipers", "cotengra", "dwave", "pgmpy")
BITS = 30.0  # peers are not asked for tables beyond 2^30 entries: none could hold them

Solve = Callable[[], float]


def with_calipers(graph: Any) -> Solve:
    import calipers as cal

    def solve() -> float:
        answer = cal.log_z(graph, time_limit=1e6, memory=14e9, gap=0.0)
        if not answer.exact:
            raise RuntimeError(f"not exact: {answer}")
        return 0.5 * (answer.lower.value + answer.upper.value)

    return solve


def reduced_tables(graph: Any) -> tuple[list[tuple[int, ...]], list[Any], float]:
    """Scopes, tables of weights with maximum 1, and the logs taken out: for solvers that know no evidence or logs."""
    import numpy as np

    seen = dict(graph.evidence)
    scopes, tables, constant = [], [], 0.0
    for scope, logs in zip(graph.scopes, graph.log_tables(), strict=True):
        kept = logs[tuple(seen.get(v, slice(None)) for v in scope)]
        free = tuple(v for v in scope if v not in seen)
        top = float(np.max(kept))
        constant += top
        if free:
            scopes.append(free)
            tables.append(np.exp(kept - top))
    lonely = set(range(graph.n)) - set(seen) - {v for s in scopes for v in s}
    return scopes, tables, constant + sum(math.log(graph.sizes[v]) for v in lonely)


def with_cotengra(graph: Any) -> Solve:
    import cotengra
    import quimb.tensor as qtn

    scopes, tables, constant = reduced_tables(graph)
    network = qtn.TensorNetwork([qtn.Tensor(t, [f"v{v}" for v in s]) for s, t in zip(scopes, tables, strict=True)])

    def solve() -> float:
        tree = network.contraction_tree(optimize="greedy", output_inds=())
        if tree.max_size() > 2.0**16:  # worth a search
            search = cotengra.HyperOptimizer(max_time=2.0, max_repeats=32, parallel=False, progbar=False)
            tree = network.contraction_tree(optimize=search, output_inds=())
        if math.log2(tree.max_size()) > BITS:
            raise RuntimeError(f"2^{math.log2(tree.max_size()):.0f} entries")
        mantissa, exponent = network.contract(optimize=tree, output_inds=(), strip_exponent=True)
        return math.log(float(mantissa)) + exponent * math.log(10.0) + constant

    return solve


def with_dwave(graph: Any) -> Solve:
    import dimod
    from dwave.samplers import TreeDecompositionSampler

    from calipers.models.recognition import as_ising
    from calipers.models.reduction import reduce

    reduced = reduce(graph)
    magnet = as_ising(reduced.model)
    if magnet is None:
        raise RuntimeError("not a binary pairwise model without zeros")
    fields = {i: -float(h) for i, h in enumerate(magnet.fields)}
    pairs = {(int(i), int(j)): -float(x) for (i, j), x in zip(magnet.edges, magnet.couplings, strict=True)}
    model = dimod.BinaryQuadraticModel.from_ising(fields, pairs)
    constant = reduced.log_constant - magnet.beta * magnet.offset

    def solve() -> float:
        info = TreeDecompositionSampler().sample(model, beta=magnet.beta, num_reads=1, marginals=False).info
        return float(info["log_partition_function"]) + constant

    return solve


def with_pgmpy(graph: Any) -> Solve:
    from pgmpy.factors.discrete import DiscreteFactor
    from pgmpy.inference import VariableElimination
    from pgmpy.models import DiscreteMarkovNetwork

    scopes, tables, constant = reduced_tables(graph)
    network = DiscreteMarkovNetwork()
    network.add_nodes_from({f"v{v}" for s in scopes for v in s})
    network.add_edges_from((f"v{u}", f"v{v}") for s in scopes for u in s for v in s if u < v)
    factors = [DiscreteFactor([f"v{v}" for v in s], t.shape, t) for s, t in zip(scopes, tables, strict=True)]
    network.add_factors(*factors)

    def solve() -> float:
        last = f"v{scopes[0][0]}"
        engine = VariableElimination(network)
        engine._initialize_structures()  # its public query normalises, and so loses Z
        factor = engine._variable_elimination(
            variables=[last], operation="marginalize", evidence=None, elimination_order="MinFill", show_progress=False
        )
        return math.log(float(factor.values.sum())) + constant

    return solve


MAKERS = {"calipers": with_calipers, "cotengra": with_cotengra, "dwave": with_dwave, "pgmpy": with_pgmpy}


def work(solver: str, file: str, evidence: str | None, memory: float) -> None:
    """In a process of its own: two timed calls, the result as one JSON line."""
    limit = int(memory * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    from calipers.io import load

    solve = MAKERS[solver](load(file, evidence).factor_graph())
    row: dict[str, Any] = {}
    for name in ("cold", "warm"):
        begun = time.process_time()
        row["value"] = solve()
        row[name] = time.process_time() - begun
        if name == "warm" and row[name] < 0.05:
            begun, calls = time.process_time(), math.ceil(0.2 / max(row[name], 1e-4))
            for _ in range(calls):
                solve()
            row[name] = (time.process_time() - begun) / calls
        row["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps(row), flush=True)  # a slow solver may have time for one call only


def measure(solver: str, path: Path, seconds: float, memory: float) -> dict[str, Any]:
    """One row: times, value and peak memory, or why there is none."""
    evidence = Path(f"{path}.evid")
    line = [sys.executable, __file__, "--work", solver, str(path), str(evidence) if evidence.exists() else ""]
    with tempfile.TemporaryFile("w+") as out_file, tempfile.TemporaryFile("w+") as err_file:
        child = subprocess.Popen([*line, str(memory)], stdout=out_file, stderr=err_file)
        spent = 0.0
        while child.poll() is None and spent < seconds:
            time.sleep(0.1)
            spent = cpu_seconds(child.pid)
        if child.poll() is None:
            child.kill()
        child.wait()
        out_file.seek(0)
        err_file.seek(0)
        out, err = out_file.read(), err_file.read() if spent < seconds else f"no answer within {seconds:g} CPU s"
    rows = out.strip().splitlines()
    if rows:
        return json.loads(rows[-1])
    return {"failed": (err.strip().splitlines() or ["no output"])[-1][:160]}


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, from /proc: a limit set on the process itself would make its clock coarse."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(options: argparse.Namespace) -> None:
    folder, wanted = Path(options.folder), set(options.names)
    known = set()
    if Path(options.out).exists():
        known = {(r["name"], r["solver"]) for r in map(json.loads, Path(options.out).read_text().splitlines())}
    with open(folder / "MANIFEST.tsv") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if not wanted or r["name"] in wanted]
    for row in rows:
        for solver in options.solvers.split(","):
            if (row["name"], solver) in known:
                continue
            found = {"name": row["name"], "solver": solver, "reference": row["ref_log_Z"]}
            found |= measure(solver, folder / row["file"], options.seconds, options.memory)
            with open(options.out, "a") as file:
                file.write(json.dumps(found) + "\n")
            print(json.dumps(found), flush=True)


def table(path: str) -> None:
    """Every instance that anyone solved: seconds of each solver, and Calipers' ratio to the fastest peer.

    A value that differs from the majority's (or, between two, from the published one) by more than 1e-3 is wrong.
    """
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    by: dict[str, dict[str, dict]] = {}
    for row in rows:
        by.setdefault(row["name"], {})[row["solver"]] = row
    print(f"{'instance':28s} " + " ".join(f"{s:>18s}" for s in SOLVERS) + "  ratio")
    ratios = []
    for name, found in by.items():
        given = {s: r["value"] for s, r in found.items() if "value" in r}
        if not given:
            continue
        known = [float(r["reference"]) for r in list(found.values())[:1] if r["reference"]]
        middle = sorted([*given.values(), *known])[(len(given) + len(known) - 1) // 2]
        wrong = {s: v for s, v in given.items() if abs(v - middle) > 1e-3 + 1e-5 * abs(middle)}
        good = {s: found[s].get("warm", found[s].get("cold")) for s in given if s not in wrong}
        cells = [f"{good[s]:9.4f} s {found[s]['peak_gb']:4.1f} GB" if s in good else "–".rjust(19) for s in SOLVERS]
        peers = [t for s, t in good.items() if s != "calipers"]
        ratio = good.get("calipers", math.inf) / min(peers) if peers else math.nan
        ratios += [ratio] if peers else []
        print(f"{name:28s} " + " ".join(cells) + f"  {ratio:.2f}")
        if wrong:
            print(f"    wrong: {wrong}, against {middle}")
    within, ahead = sum(r <= 3 for r in ratios), sum(r <= 1 for r in ratios)
    print(
        f"{len(ratios)} instances that a peer solved: within 3x of the fastest on {within}, at or below it on {ahead}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], sys.argv[4] or None, float(sys.argv[5]))
    elif sys.argv[1:2] == ["--table"]:
        table(sys.argv[2])
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("folder")
        parser.add_argument("out")
        parser.add_argument("--seconds", type=float, default=60.0)
        parser.add_argument("--memory", type=float, default=16.0)
        parser.add_argument("--solvers", default=",".join(SOLVERS))
        parser.add_argument("names", nargs="*")
        run(parser.parse_intermixed_args())
