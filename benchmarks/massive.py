"""Stochastic variational inference on massive data: rows per second, peak memory, and how good the posterior is.

Bayesian logistic regression with synthetic rows in a Parquet file, written and read a piece at a time. Pieces are
processes of their own, so that peak memory counts everything (imports and compilation too).

* write     ROWS × COLUMNS float32 columns and labels, row groups of PIECE rows
* fit       `cal.log_z(StreamedPosterior(…), StochasticVI())`: rows a second in minibatches, CPU and wall seconds of the
            whole process, its peak memory
* check     the same method on the first SUBSET rows, against GaussianVI on those rows in memory: means in posterior
            deviations, ratios of deviations, and the difference of log Z
* numpyro   its subsampling SVI (AutoMultivariateNormal) on rows in memory, rows a second after compilation, same batch

usage: python benchmarks/massive.py [write|fit|check|numpyro] FILE.parquet [--rows 1000000] [--columns 50]
           [--piece 65536] [--subset 100000] [--batch 4096] [--steps 20000] [--seed 0]
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
        rows = Path(at.file).with_suffix(".npz")
        if not rows.exists():
            x, y = model(at).rows.read(0, at.rows)
            np.savez(rows, x=x, y=y)
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
    steps, began = min(at.steps, 200), time.monotonic()
    for _ in range(steps):
        state, _ = step(state)
    jax.block_until_ready(state)
    seconds = time.monotonic() - began
    return {"rows_per_second": steps * at.batch / seconds, "steps": steps, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("piece_of_work", choices=["write", "fit", "check", "numpyro"])
    parser.add_argument("file")
    defaults = {"rows": 1_000_000, "columns": 50, "piece": 65536, "subset": 100_000, "batch": 4096, "steps": 20000}
    for name, value in (defaults | {"seed": 0}).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    at = parser.parse_args()
    print(json.dumps(globals()[at.piece_of_work](at), indent=1))


if __name__ == "__main__":
    main()
