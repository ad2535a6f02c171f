"""Markov chains on the command line: samples that are not independent, and say so."""

import math
import warnings
from typing import Any

from calipers.cli import document as out
from calipers.cli.drawn import Drawn, Job
from calipers.cli.interrupt import Interrupts

CHAINS = 4


def is_kernel(method: Any) -> bool:
    """Whether a method is a Markov kernel."""
    from calipers.sampling.kernel import AbstractKernel

    return isinstance(method, AbstractKernel)


def walk(job: Job, model: Any, interrupts: Interrupts) -> Drawn:
    """As many states of Markov chains as were asked for, or as there was time for; chains one after another."""
    from calipers.core.method import Refusal
    from calipers.sampling.chain import Chain

    chains = max(min(CHAINS, job.wanted), job.method.fewest)
    sweeps = math.ceil(job.wanted / chains) * job.every
    options: dict[str, Any] = {
        "measure_every": job.every,
        "burn_in": job.burn_in,
        "chains": chains,
        "seed": job.seed,
        "keep": True,
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            run = Chain(model, job.method, sweeps=sweeps, memory=job.limits.memory, **options)
        except Refusal as refusal:
            return Drawn(None, {}, None, "refused", str(refusal))
    for warning in caught:
        out.say(str(warning.message))
    stopped = "exact"
    with interrupts.stops():
        for at in run:
            if job.limits.seconds_left() < 0 and at.done < at.total:
                stopped = "time"
                break
    if interrupts.asked:
        stopped = "interrupted"
    result = run.result(stopped != "exact")
    assert result.states is not None
    states = result.states.reshape(-1, model.n)[: job.wanted]
    return Drawn(states, _about(result, len(states), chains), None, stopped, _doubts(result))


def _about(result: Any, count: int, chains: int) -> dict[str, Any]:
    """The diagnostics, flat, for files and documents; the effective size is that of the slowest series."""
    known = {f"tau_{k}": out.plain(x) for k, x in result.tau.items()}
    known |= {f"r_hat_{k}": out.plain(x) for k, x in result.r_hat.items()}
    known = {k: math.nan if x is None else x for k, x in known.items()}
    worth = min(result.effective_size.values(), default=0.0)
    about = {"count": count, "independent": False, "effective_size": min(worth, float(count)), "method": result.kernel}
    about |= {"chains": chains, "every": result.measure_every, "burn_in": result.burn_in, "reliable": result.reliable}
    if result.mixing is not None:
        about["fast_mixing"] = str(result.mixing)
        known |= {"dobrushin": out.plain(result.mixing.dobrushin), "spectral_width": out.plain(result.mixing.spectral)}
        known["mixing_sweeps"] = result.mixing.sweeps()
    return about | known


def _doubts(result: Any) -> str:
    """Why these samples should not be relied on."""
    if result.reliable:
        return ""
    if not result.tau:
        return "not reliable: fewer than 4 samples a chain, of which nothing can be said"
    why = []
    if not result.ergodic:
        why.append("zeros may part the configurations")
    if not result.long_enough:
        tau = max((t for t in result.tau.values() if math.isfinite(t)), default=math.nan)
        why.append(f"chains are shorter than 50 of their autocorrelation time, about {tau:.3g} sweeps or more")
    worst = max((r for r in result.r_hat.values() if math.isfinite(r)), default=math.nan)
    if not worst < 1.01:
        why.append(f"R-hat is {worst:.3f}")
    return "not reliable: " + "; ".join(why)
