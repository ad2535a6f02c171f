"""Stochastic variational inference on massive data: rows per second, peak memory, and how good the posterior is.

Bayesian logistic regression with synthetic rows in a Parquet file, written and read a piece at a time. Pieces are
processes of their own, so that peak memory counts everything (imports and compilation too).

* write     ROWS × COLUMNS float32 columns and labels, row groups of PIECE rows
* fit       `cal.log_z(StreamedPosterior(…), StochasticVI())`: rows a second in minibatches, CPU and wall seconds of the
            whole process, its peak memory
* check     the same method on the first SUBSET rows, against GaussianVI on those rows in memory: means in posterior
            deviations, ratios of deviations, and the difference of log Z
* numpyro   its subsampling SVI (AutoMultivariateNormal) on rows in memory, rows a second after compilation, same batch
* beside    in turns, a few steps of ours and of NumPyro's, rows a second by wall clock and by CPU of each
* divided   the same program on one device, on 8 virtual ones, and in 2 processes on loopback, each with one thread:
            wall and CPU seconds of STEPS steps and a pass, speed-up, and how far the parameters differ
* mixture   ROWS rows of 8 Gaussians in 5 dimensions, written to FILE if it is not there; `ConjugateVI`: its bound,
            rounds, and how far the means are off; then the same by coordinate ascent on all rows

usage: python benchmarks/massive.py [write|fit|check|numpyro|beside|divided|mixture] FILE.parquet [--rows 1000000]
           [--columns 50] [--piece 65536] [--subset 100000] [--batch 4096] [--steps 20000] [--seed 0]
       CALIPERS_PEERS names the Python that has numpyro
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def truth(columns: int) -> np.ndarray:
    return 0.5 * np.random.default_rng(2017).standard_normal(columns)


def write(at: argparse.Namespace) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [*(f"x{i}" for i in range(at.columns)), "y"]
    schema, w = pa.schema([(n, pa.float32()) for n in names]), truth(at.columns)
    with pq.ParquetWriter(at.file, schema) as writer:
        for k, begin in enumerate(range(0, at.rows, at.piece)):
            random = np.random.default_rng([at.seed, k])
            x = random.standard_normal((min(at.piece, at.rows - begin), at.columns), np.float32)
            y = (random.random(len(x)) < 1.0 / (1.0 + np.exp(-x @ w))).astype(np.float32)
            writer.write_table(pa.table([*x.T.copy(), y], schema=schema), row_group_size=at.piece)
    return {"rows": at.rows, "bytes": Path(at.file).stat().st_size}


def model(at: argparse.Namespace) -> Any:
    import calipers as cal

    names = [f"x{i}" for i in range(at.columns)]
    rows = cal.Rows.parquet(at.file, (names, "y"))
    small = cal.logistic_regression(np.zeros((1, at.columns)), np.zeros(1))  # its prior and likelihood
    return cal.StreamedPosterior(small.log_prior, small.log_likelihood, rows, prior_sample=small.prior_sample)


def told(answer: Any) -> dict[str, Any]:
    names = ("elbo", "elbo_error", "estimate", "std_error", "k_hat", "ess", "epochs", "passes", "iterations", "settled")
    return {k: answer.stats.get(k) for k in (*names, "rows_per_second", "verdict")}


def fit(at: argparse.Namespace) -> dict[str, Any]:
    import jax

    import calipers as cal

    method, began = cal.StochasticVI(batch=at.batch, piece=at.piece, steps=at.steps), time.monotonic()
    answer = cal.log_z(model(at), method, key=jax.random.key(at.seed), time_limit=1e5, check=False)
    error = answer.belief.approximation.mean - truth(at.columns)
    deviations = np.sqrt(np.diag(answer.belief.approximation.covariance))
    return told(answer) | {
        "truth_rms_in_deviations": float(np.sqrt(np.mean((error / deviations) ** 2))),  # 1 when calibrated
        "wall": time.monotonic() - began,
        "cpu": time.process_time(),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def check(at: argparse.Namespace) -> dict[str, Any]:
    import jax

    import calipers as cal

    whole = model(at)
    x, y = whole.rows.read(0, at.subset)
    known = cal.logistic_regression(x, y)
    part = cal.StreamedPosterior(
        known.log_prior, known.log_likelihood, cal.Rows.arrays((x, y)), prior_sample=known.prior_sample
    )
    found = cal.log_z(part, cal.StochasticVI(batch=at.batch), key=jax.random.key(at.seed), time_limit=1e5)
    exact = cal.log_z(known, cal.GaussianVI(draws=256, starts=1), time_limit=1e5)
    p, q = exact.belief.approximation, found.belief.approximation
    deviations = np.sqrt(np.diag(p.covariance))
    return told(found) | {
        "mean_off_in_deviations": float(np.abs((q.mean - p.mean) / deviations).max()),
        "deviation_ratio_off": float(np.abs(np.sqrt(np.diag(q.covariance)) / deviations - 1.0).max()),
        "full_data_log_z": exact.stats["estimate"],
        "full_data_error": exact.stats["std_error"],
    }


def numpyro(at: argparse.Namespace) -> dict[str, Any]:
    peers = os.environ.get("CALIPERS_PEERS")
    if peers and os.environ.get("CALIPERS_INSIDE") is None:
        place = Path(at.file).with_suffix(".npz")
        if not place.exists():
            x, y = model(at).rows.read(0, at.rows)
            np.savez(place, x=x, y=y)
        command = [peers, __file__, "numpyro", *sys.argv[2:]]
        done = subprocess.run(
            command, env={**os.environ, "CALIPERS_INSIDE": "1"}, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)
    import jax
    import numpyro as npr
    import numpyro.distributions as dist
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.autoguide import AutoMultivariateNormal

    with np.load(Path(at.file).with_suffix(".npz")) as held:
        x, y = jax.numpy.asarray(held["x"]), jax.numpy.asarray(held["y"])

    def program() -> None:
        w = npr.sample("w", dist.Normal(0.0, 1.0).expand([at.columns]).to_event(1))
        with npr.plate("rows", len(y), subsample_size=at.batch) as i:
            npr.sample("y", dist.Bernoulli(logits=x[i] @ w), obs=y[i])

    svi = SVI(program, AutoMultivariateNormal(program), npr.optim.Adam(5e-3), Trace_ELBO(num_particles=8))
    state = svi.init(jax.random.key(at.seed))
    step = jax.jit(svi.update)
    state, _ = step(state)
    jax.block_until_ready(state)
    count, began, busy = 0, time.monotonic(), time.process_time()
    while count < min(at.steps, 200) and time.process_time() - busy < 20.0:
        state, _ = step(state)
        jax.block_until_ready(state)
        count += 1
    seconds, cpu = time.monotonic() - began, time.process_time() - busy
    return {
        "rows_per_second": count * at.batch / seconds,
        "rows_per_cpu_second": count * at.batch / cpu,
        "steps": count,
    }


def steps(at: argparse.Namespace) -> dict[str, Any]:
    """So many steps and a pass, in this process or, with --port, in one of two."""
    import jax

    if at.port:
        jax.distributed.initialize(f"127.0.0.1:{at.port}", 2, at.process)
    import calipers as cal
    from calipers.variational.streamed_run import StreamedRun

    run = StreamedRun(model(at), cal.StochasticVI(batch=at.batch, piece=at.piece), [at.seed])
    run.advance()
    clock, busy = time.monotonic(), time.process_time()
    for _ in range(at.steps):
        run.advance()
    seconds, cpu = time.monotonic() - clock, time.process_time() - busy
    looks = np.random.default_rng(1).normal(size=(64, at.columns)) * 0.01 + run.start.mean
    clock = time.monotonic()
    logs = run.target.log_weights(looks)
    return {
        "rows_per_second": at.steps * at.batch / seconds,
        "rows_per_cpu_second": at.steps * at.batch / cpu,
        "pass_seconds": time.monotonic() - clock,
        "devices": len(jax.devices()),
        "theta": run.ascent.theta.tolist(),
        "logs": logs.tolist(),
    }


def started(at: argparse.Namespace, devices: int = 1, extra: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    flags = f"--xla_force_host_platform_device_count={devices} --xla_cpu_multi_thread_eigen=false"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "XLA_FLAGS": flags}
    options = [f"--{n}={getattr(at, n)}" for n in ("rows", "columns", "piece", "batch", "steps", "seed")]
    command = [sys.executable, __file__, "steps", at.file, *options, *extra]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def read(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    return json.loads(out[out.index("{") :])


def divided(at: argparse.Namespace) -> dict[str, Any]:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one, eight = read(started(at)), read(started(at, 8))
    pair = [started(at, 1, (f"--port={port}", f"--process={i}")) for i in (0, 1)]
    two, other = map(read, pair)

    def off(a: dict[str, Any], b: dict[str, Any]) -> dict[str, float]:
        return {k: float(np.abs(np.subtract(a[k], b[k])).max() / np.abs(b[k]).max()) for k in ("theta", "logs")}

    shown = {
        name: {k: v for k, v in run.items() if k not in ("theta", "logs")}
        for name, run in (("one", one), ("eight devices", eight), ("two processes", two))
    }
    return shown | {
        "eight devices off": off(eight, one),
        "two processes off": off(two, one),
        "processes differ": off(two, other),
        "speed_up_of_two": two["rows_per_second"] / one["rows_per_second"],
    }


def beside(at: argparse.Namespace) -> dict[str, Any]:
    """In turns, so that what else the machine does is shared."""
    at.steps = min(at.steps, 200)
    ours, theirs = [], []
    for _ in range(at.turns):
        ours.append(read(started(at)))
        theirs.append(numpyro(at))
    keys = ("rows_per_second", "rows_per_cpu_second")
    return {name: [{k: r[k] for k in keys} for r in runs] for name, runs in (("ours", ours), ("numpyro", theirs))}


def write_mixture(at: argparse.Namespace, means: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    k, d = means.shape
    schema = pa.schema([(f"x{i}", pa.float32()) for i in range(d)])
    with pq.ParquetWriter(at.file, schema) as writer:
        for piece, begin in enumerate(range(0, at.rows, at.piece)):
            random = np.random.default_rng([at.seed, piece])
            z = random.integers(0, k, min(at.piece, at.rows - begin))
            x = (means[z] + random.standard_normal((len(z), d))).astype(np.float32)
            writer.write_table(pa.table(list(x.T.copy()), schema=schema), row_group_size=at.piece)


def mixture(at: argparse.Namespace) -> dict[str, Any]:
    import jax

    import calipers as cal

    means = 5.0 * np.random.default_rng(7).standard_normal((8, 5))
    if not Path(at.file).exists():
        write_mixture(at, means)
    source = cal.gaussian_mixture(cal.Rows.parquet(at.file, [f"x{i}" for i in range(5)]), 8)
    told = {}
    for name, batch in (("minibatches", at.batch), ("coordinate ascent", at.rows)):
        method = cal.ConjugateVI(batch=batch, piece=at.piece)
        clock, busy = time.monotonic(), time.process_time()
        answer = cal.log_z(source, method, key=jax.random.key(at.seed), time_limit=1e5)
        natural = answer.belief.natural
        found = natural["sum"] / natural["shrinkage"][:, None]
        off = [float(np.sqrt(((found - mean) ** 2).sum(1)).min()) for mean in means]
        told[name] = {k: answer.stats.get(k) for k in ("rounds", "settled", "gain", "rate", "epochs", "rounding")} | {
            "lower": answer.lower.value,
            "rows_per_second": answer.stats.get("rows_per_second"),
            "largest_mean_off": max(off),
            "wall": time.monotonic() - clock,
            "cpu": time.process_time() - busy,
        }
    return told | {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "piece_of_work", choices=["write", "fit", "check", "numpyro", "beside", "steps", "divided", "mixture"]
    )
    parser.add_argument("file")
    defaults = {"rows": 1_000_000, "columns": 50, "piece": 65536, "subset": 100_000, "batch": 4096, "steps": 20000}
    for name, value in (defaults | {"seed": 0, "port": 0, "process": 0, "turns": 2}).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    at = parser.parse_args()
    print(json.dumps(globals()[at.piece_of_work](at), indent=1))


if __name__ == "__main__":
    main()
