"""`calipers sample`: exact samples of a model, Markov chains of it, or its most probable configurations.

Whatever ends the run, the samples so far are written, with diagnostics that say what they are worth.
"""

import time
from typing import Annotated, Any

import typer

from calipers.cli import document as out
from calipers.cli import options as opt
from calipers.cli.drawn import Drawn, Job
from calipers.cli.interrupt import Interrupts, interruptible
from calipers.cli.machine import prepare
from calipers.cli.search import load_model, make_limits

EXAMPLES = """\b
Examples:
  calipers sample square:16x16,T=2.269 -n 1000 -o run.npz
  calipers sample grid.uai --evidence "3=1,7=0" -n 10000 -o run.csv --seed 7
  calipers sample square:8x8,J=pm1,seed=1 --most-probable 5
  calipers sample chain:20 --T 0.5 -n 3 --json
  calipers sample square:64x64,T=2.269 -n 4000 --method "Wolff()" --every 5 -o run.npz
  calipers sample cubic:16x16x16,T=4.5 -n 100 --method perfect-sampling -o run.npz

\b
FILE ends in .npz (arrays `states`, `method`, `independent`, `effective_size`, …) or .csv; without it
rows of states go to stdout. State 0 is spin +1, state 1 is spin -1. Samples are exact and independent;
wide ferromagnets, and what flips of spins make of them, by PerfectSampling(). Another model that is
too wide is refused, with the estimate, unless --method is a Markov kernel: Metropolis(), HeatBath(),
Gibbs(), BlockGibbs(), SwendsenWang(), Wolff(), ParallelTempering(), Multispin(), ShardedMultispin() or
MultispinReplicas(). Its samples are NOT independent: effective size, autocorrelation time and R-hat come
with them. Exit codes: 0 done; 3 refused, or a limit came first (the samples so far are written); 130
interrupted (likewise); 2 usage; 5 bad input file; 1 internal error."""

_COUNT, _METHOD = 1000, "auto"


def sample(
    ctx: typer.Context,
    model: opt.Model,
    samples: Annotated[
        int | None, typer.Option("-n", "--samples", metavar="N", help=f"How many. [default: {_COUNT}]", min=1)
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            *("-o", "--output"), metavar="FILE", callback=opt.check_writable, help="A .npz or .csv. [default: stdout]"
        ),
    ] = None,
    most_probable: Annotated[
        int | None,
        typer.Option(metavar="K", help="The K configurations of the largest weight, instead of samples.", min=1),
    ] = None,
    method: Annotated[
        str, typer.Option(help="auto, an exact engine that draws samples, perfect-sampling, or a Markov kernel.")
    ] = _METHOD,
    every: Annotated[
        int | None, typer.Option(metavar="K", help="Markov kernels: sweeps between samples. [default: 1]", min=1)
    ] = None,
    burn_in: Annotated[
        int | None,
        typer.Option(metavar="K", help="Markov kernels: sweeps before the first sample. [default: a fifth]", min=0),
    ] = None,
    time_limit: opt.TimeLimit = 60.0,
    beta: opt.Beta = None,
    temperature: opt.Temperature = None,
    evidence: opt.Evidence = None,
    json: opt.Json = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    memory: opt.Memory = None,
) -> None:
    """Draw exact, independent samples of MODEL, or find its most probable configurations."""
    _check(samples, most_probable, method, output)
    factor = opt.inverse_temperature(beta, temperature)
    started = time.monotonic() if ctx.obj is None else ctx.obj
    prepare(threads)
    drawn, found = None, None
    about: dict[str, Any] = {"source": model, "variables": None, "factors": None, "sha256": None}
    with interruptible() as interrupts:
        with interrupts.stops():
            from calipers.cli.method_text import parse_sampler
            from calipers.cli.sample_chain import is_kernel

            found = load_model(model, evidence, factor, interrupts)
            about = out.describe_model(model, found)
            chosen = None if method == _METHOD else parse_sampler(method)
            if (every, burn_in) != (None, None) and not is_kernel(chosen):
                raise typer.BadParameter("--every and --burn-in are for Markov kernels, as --method 'Wolff()'")
            limits = make_limits(deadline=started + time_limit, memory=memory)
            job = Job(samples or _COUNT, most_probable, chosen, limits, seed, every or 1, burn_in)
            drawn = _draw(job, found, interrupts)
        drawn = drawn or Drawn(None, {}, None, "interrupted", "interrupted before there was anything")
        doc = out.document(about, drawn.answer, stopped=drawn.stopped, reasons={}, started=started, seed=seed)
        doc |= {"reasons": {"samples": drawn.reason} if drawn.reason else {}, "samples": drawn.about, "file": output}
        _deliver(drawn, found, doc, output, json)
    raise typer.Exit(out.exit_code(drawn.stopped))


def _check(samples: int | None, most_probable: int | None, method: str, output: str | None) -> None:
    """Options that do not go together."""
    if samples is not None and most_probable is not None:
        raise typer.BadParameter("-n asks for samples, --most-probable for the best configurations; give one of them")
    if most_probable is not None and method != _METHOD:
        raise typer.BadParameter("--method is for samples; the most probable configurations come from elimination")
    if output is not None and not output.endswith((".npz", ".csv")):
        raise typer.BadParameter(f"{output!r} does not end in .npz or .csv", param_hint="-o")


def _draw(job: Job, model: Any, interrupts: Interrupts) -> Drawn:
    """What the job asks for, by what can do it."""
    from calipers.cli.sample_chain import is_kernel, walk

    draw = _best if job.best is not None else walk if is_kernel(job.method) else _sample
    return draw(job, model, interrupts)


def _sample(job: Job, model: Any, interrupts: Interrupts) -> Drawn:
    """Independent samples, as many as time allows."""
    import numpy as np

    from calipers.core.method import Refusal
    from calipers.exact.query import Impossible
    from calipers.exact.sampling import ENGINES, check_room, choose, draws, generator, state_type
    from calipers.sampling.perfect import PerfectSampling

    try:
        check_room(model, job.wanted, job.limits)
        method, found = choose(
            model, job.limits, (*ENGINES, PerfectSampling()) if job.method is None else (job.method,)
        )
    except Refusal as refusal:
        return Drawn(None, {}, None, "refused", str(refusal))
    except Impossible as nothing:
        return Drawn(None, {}, None, "impossible", f"there is nothing to sample: {nothing}")
    parts = [np.zeros((0, model.n), state_type(model))]
    with interrupts.stops():
        for part in draws(found, model.n, job.wanted, generator(seed=job.seed), job.limits.deadline):
            parts.append(part)
    states = np.concatenate(parts)
    count, short = len(states), "interrupted" if interrupts.asked else "time"
    about = {"count": count, "independent": True, "effective_size": float(count), "method": repr(method)}
    stopped, known = "exact" if count == job.wanted else short, found.answer if found.answer.exact else None
    late = "perfect sampling was cut short: what was finished leans towards what is quick" if known is None else ""
    return Drawn(states, about, known, stopped, late if stopped != "exact" else "")


def _best(job: Job, model: Any, interrupts: Interrupts) -> Drawn:
    """The most probable configurations."""
    from calipers.core.method import Refusal
    from calipers.exact.most_probable import most_probable

    assert job.best is not None
    try:
        found = most_probable(model, job.best, time_limit=job.limits.seconds_left(), memory=job.limits.memory)
    except Refusal as refusal:
        return Drawn(None, {}, None, "refused", str(refusal))
    about = {"count": len(found), "method": "Elimination()", "log_weights": out.plain(found.log_weights)}
    few = f"only {len(found)} configurations have positive weight" if len(found) < job.best else ""
    return Drawn(found.states, about, None, "exact", few, found.log_weights)


def _deliver(drawn: Drawn, model: Any, doc: dict[str, Any], output: str | None, json: bool) -> None:
    """Writes the states where they were wanted, and says what there is to say."""
    from calipers.cli.sample_files import write

    if drawn.reason:
        out.say(drawn.reason)
    written = drawn.states is not None and not (json and output is None)
    if written:
        write(output, drawn.states, drawn.log_weights, model, doc)
    if json:
        states = None if drawn.states is None or output is not None else drawn.states.tolist()
        out.print_json(doc if output is not None else {**doc, "states": states})
    elif written:
        _report(drawn, doc, print if output is not None else out.say)


def _report(drawn: Drawn, doc: dict[str, Any], say: Any) -> None:
    """One line for people."""
    from calipers.core.answer import show_bracket

    about = doc["samples"]
    what = "most probable configurations" if drawn.log_weights is not None else "independent samples"
    if not about.get("independent", True):
        what = f"samples of {about['chains']} Markov chains, NOT independent, worth {about['effective_size']:.3g},"
    where = f" in {doc['file']}" if doc["file"] else ""
    line = f"{about['count']} {what}{where} by {about['method']}, {doc['seconds']:.2f} s, seed {doc['seed']}"
    if drawn.answer is not None:
        line += f"; log Z {show_bracket(float(drawn.answer.lower), float(drawn.answer.upper))}"
    say(line + ("" if drawn.stopped == "exact" else f" (stopped: {drawn.stopped})"))
    if "fast_mixing" in about:
        say(about["fast_mixing"])
