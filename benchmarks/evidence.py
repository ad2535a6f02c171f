"""Log evidences measured: errors against exact values, verdicts, k̂ and CPU seconds, beside other libraries.

Pieces (a target, a seed and a tool) are independent, each in a process of its own, so that CPU seconds count imports
and compilation; a piece that is in the file of results is not done again. Targets are those of `targets.py`.

* calipers  `cal.log_z(model)`
* bracket   `cal.log_z(model, cal.HamiltonianAnnealing(chains=1024), delta=0.01)`; blr10 draws from its own posterior
* numpyro   AutoMultivariateNormal and AutoIAFNormal, 5000 steps of Adam, importance weights of 4000 draws
* blackjax  adaptive tempered SMC from prior draws, 2000 particles, HMC moves
* dynesty   static nested sampling over a reference N(0, 5² I), up to ten dimensions
* pymc      ADVI with its defaults, on the one conjugate normal

`misses` prints each answer that was trusted and is off by more than three claimed errors and 0.02, and each bracket
that fails.

usage: python benchmarks/evidence.py [calipers|bracket|peers|table|misses] [FILE.json] [TARGET …]
       CALIPERS_PEERS names the Python that has the other libraries; SEEDS how many seeds (3)
"""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = ("numpyro full-rank", "numpyro IAF", "blackjax SMC", "dynesty", "pymc ADVI")


def calipers(name: str, seed: int) -> dict[str, Any]:
    import jax
    from targets import TARGETS

    import calipers as cal

    target = TARGETS[name]
    found = cal.log_z(target.make(), key=jax.random.key(seed), check=False, time_limit=900.0).stats
    told = {k: found.get(k) for k in ("fit", "elbo", "elbo_error", "k_hat", "ess", "draws", "trust", "verdict")}
    estimate = found.get("estimate", float("nan"))
    return told | {"error": estimate - target.log_z, "claimed": found.get("std_error"), "seconds": time.process_time()}


def bracket(name: str, seed: int) -> dict[str, Any]:
    import jax
    from targets import TARGETS

    import calipers as cal

    target, method = TARGETS[name], cal.HamiltonianAnnealing(chains=1024)
    found = cal.log_z(target.make(), method, key=jax.random.key(seed), delta=0.01, gap=0.01, time_limit=900.0)
    below, above = found.lower.value - target.log_z, found.upper.value - target.log_z
    slack = 3.0 * target.known_to
    told = {"below": below, "above": above, "holds": below <= slack and above >= -slack, "steps": found.stats["steps"]}
    return told | {"cv2": found.stats["cv2"], "seconds": time.process_time()}


def numpyro_guide(name: str, seed: int, guide_name: str) -> dict[str, Any]:
    import jax
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import SVI, Trace_ELBO, autoguide
    from numpyro.infer.autoguide import AutoContinuous
    from targets import TARGETS

    numpyro.enable_x64()
    target = TARGETS[name]
    model = target.make()

    def program() -> None:
        real = dist.constraints.real_vector
        u = numpyro.sample("u", dist.ImproperUniform(real, (), (model.dimension,)))
        numpyro.factor("target", model.flat_log_weight(u))

    guide: AutoContinuous = getattr(autoguide, guide_name)(program)
    result = SVI(program, guide, numpyro.optim.Adam(5e-3), Trace_ELBO(num_particles=10)).run(
        jax.random.key(seed), 5000, progress_bar=False
    )
    q = guide.get_posterior(result.params)
    u = q.sample(jax.random.key(seed + 1000), (4000,))
    logs = jax.vmap(model.flat_log_weight)(u) - q.log_prob(u)
    log_z = float(jax.nn.logsumexp(logs) - jax.numpy.log(4000.0))
    return {"error": log_z - target.log_z, "elbo": float(logs.mean()), "seconds": time.process_time()}


def blackjax_smc(name: str, seed: int) -> dict[str, Any]:
    import blackjax
    import jax
    import jax.numpy as jnp
    from blackjax.smc import extend_params, resampling
    from targets import TARGETS

    import calipers as cal

    jax.config.update("jax_enable_x64", True)
    target = TARGETS[name]
    model = target.make()
    if not isinstance(model, cal.Posterior):
        return {"left out": "no prior to temper from"}
    d, particles = model.dimension, 2000
    smc = blackjax.adaptive_tempered_smc(
        model.flat_log_prior,
        model.flat_log_likelihood,
        blackjax.hmc.build_kernel(),
        blackjax.hmc.init,
        extend_params({"step_size": 0.1, "inverse_mass_matrix": jnp.eye(d), "num_integration_steps": 10}),
        resampling.systematic,
        0.5,
        num_mcmc_steps=5,
    )
    state = smc.init(jax.vmap(model.flat_prior_sample)(jax.random.split(jax.random.key(seed), particles)))
    step, log_z, key = jax.jit(smc.step), 0.0, jax.random.key(seed + 1)
    for _ in range(500):
        key, used = jax.random.split(key)
        state, info = step(used, state)
        log_z += float(info.log_likelihood_increment)
        if float(getattr(state, "tempering_param", getattr(state, "lmbda", 1.0))) >= 1.0:
            break
    return {"error": log_z - target.log_z, "seconds": time.process_time()}


def dynesty_static(name: str, seed: int) -> dict[str, Any]:
    import dynesty
    import jax
    import numpy as np
    from scipy.special import ndtri
    from scipy.stats import norm
    from targets import TARGETS

    jax.config.update("jax_enable_x64", True)
    target = TARGETS[name]
    model = target.make()
    if model.dimension > 10:
        return {"left out": "more than ten dimensions"}
    weight = jax.jit(lambda u: model.flat_log_weight(u))  # a method would be hashed, and with it the data

    def log_likelihood(u: np.ndarray) -> float:
        value = float(weight(u)) - float(norm.logpdf(u, 0.0, 5.0).sum())
        return value if np.isfinite(value) else -1e100

    sampler = dynesty.NestedSampler(
        log_likelihood, lambda v: 5.0 * ndtri(v), model.dimension, rstate=np.random.default_rng(seed)
    )
    sampler.run_nested(print_progress=False)
    found = sampler.results
    return {"error": found.logz[-1] - target.log_z, "claimed": found.logzerr[-1], "seconds": time.process_time()}


def pymc_advi(name: str, seed: int) -> dict[str, Any]:
    if name != "one normal":
        return {"left out": "written for the one conjugate normal only"}
    import pymc as pm

    with pm.Model():
        x = pm.Normal("x", 0.0, 1.0)
        pm.Normal("y", x, 0.5, observed=10.0)
        fit = pm.fit(random_seed=seed, progressbar=False)
    return {"elbo": -float(fit.hist[-1000:].mean()), "mean": float(fit.mean.eval()[0]), "seconds": time.process_time()}


def piece(tool: str, name: str, seed: int) -> dict[str, Any]:
    if tool == "calipers":
        return calipers(name, seed)
    if tool == "bracket":
        return bracket(name, seed)
    if tool.startswith("numpyro"):
        return numpyro_guide(name, seed, "AutoIAFNormal" if tool.endswith("IAF") else "AutoMultivariateNormal")
    return {"blackjax SMC": blackjax_smc, "dynesty": dynesty_static, "pymc ADVI": pymc_advi}[tool](name, seed)


def apart(python: str, tool: str, name: str, seed: int) -> dict[str, Any]:
    """A piece in a process of its own; what went wrong, if something did."""
    command = [python, str(Path(__file__).resolve()), "piece", tool, name, str(seed)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800.0)
    except subprocess.TimeoutExpired:
        return {"left out": "half an hour was not enough"}
    if done.returncode:
        return {"left out": (done.stderr.strip().splitlines() or ["it failed"])[-1][:200]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def run(tools: tuple[str, ...], python: str, place: Path, names: list[str], seeds: int) -> None:
    done = json.loads(place.read_text()) if place.exists() else {}
    for name in names:
        for seed in range(seeds):
            for tool in tools:
                title = f"{name} | {tool} | {seed}"
                if title not in done:
                    found = apart(python, tool, name, seed)
                    done = (json.loads(place.read_text()) if place.exists() else {}) | {title: found}
                    place.write_text(json.dumps(done, indent=1))
                    print(title, found, flush=True)


def table(place: Path) -> None:
    """One line a target and tool: errors of all seeds, CPU seconds."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for title, found in json.loads(place.read_text()).items():
        name, tool, _ = title.split(" | ")
        rows.setdefault((name, tool), []).append(found)
    for (name, tool), found in rows.items():
        known = [f for f in found if "error" in f]
        errors = ", ".join(f"{f['error']:+.4f}" + (f" ± {f['claimed']:.4f}" if f.get("claimed") else "") for f in known)
        seconds = ", ".join(f"{f['seconds']:.1f}" for f in found if "seconds" in f)
        trust = ", ".join(f"{f['trust']} (k̂ {f['k_hat']:.2f}, {f['fit']})" for f in known if f.get("trust"))
        sides = [f for f in found if "below" in f]
        errors = errors or ", ".join(
            f"[{f['below']:+.4f}, {f['above']:+.4f}] {'holds' if f['holds'] else 'FAILS'}" for f in sides
        )
        left = next((f["left out"] for f in found if "left out" in f), "")
        print(f"| {name} | {tool} | {errors or left} | {trust} | {seconds} |")


def misses(place: Path) -> None:
    """Answers that are off by more than they claim and were trusted all the same, and sides on the wrong side: none."""
    from targets import TARGETS

    for title, found in json.loads(place.read_text()).items():
        name, tool, _ = title.split(" | ")
        if tool == "calipers" and found.get("trust") == "trust":
            allowed = 3.0 * math.hypot(found["claimed"], TARGETS[name].known_to)
            if not abs(found["error"]) <= max(allowed, 0.02):
                print(f"{title}: off by {found['error']:+.4f}, claimed {found['claimed']:.4f}, and trusted")
        if not found.get("holds", True):
            print(f"{title}: the bracket does not hold")


def main(which: str = "calipers", file: str = "evidence.json", *names: str) -> None:
    if which == "piece":
        tool, name, seed = file, *names
        print(json.dumps(piece(tool, name, int(seed))))
        return
    if which in ("table", "misses"):
        {"table": table, "misses": misses}[which](Path(file))
        return
    from targets import DATA, TARGETS

    wanted = list(names) or [n for n in TARGETS if DATA.is_dir() or n in ("funnel10", "bimodal20", "eggbox")]
    ours = which in ("calipers", "bracket")
    python = sys.executable if ours else os.environ.get("CALIPERS_PEERS", sys.executable)
    tools = (which,) if ours else PEERS
    run(tools, python, Path(file), wanted, int(os.environ.get("SEEDS", "3")))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main(*sys.argv[1:])
