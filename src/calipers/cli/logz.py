"""`calipers logz`: brackets log Z of one model, the main job.

The result goes to stdout, progress to stderr. Whatever ends the run, the bracket so far is printed and holds.
"""

import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from calipers.cli import document as out
from calipers.cli import options as opt
from calipers.cli.gap_log import STYLES, GapLog, choose_style
from calipers.cli.interrupt import Interrupts, interruptible
from calipers.cli.machine import prepare
from calipers.cli.search import Found, load_model, make_limits, search

EXAMPLES = """\b
Examples:
  calipers logz square:16x16,T=2.269
  calipers logz grid.uai --evidence grid.uai.evid --time-limit 20 --json
  calipers logz magnet.npz --T 1.5 --method "MiniBucket(ibound=12)" --marginals
  calipers logz "square:24x24,J=pm1,seed=1" --gap 0.1 --certificate magnet.cert

\b
Exit codes: 0 exact, or the gap is met; 3 a limit came first, the bracket holds but is wider than
asked; 130 interrupted, the bracket so far is printed; 2 usage; 5 bad input file; 1 internal error."""


_SEARCHED = 0.7  # of the time limit, for log Z, when marginals are to be bounded too
_MANY = 20_000  # variables beyond which they are not


class Job(NamedTuple):
    """What was asked for, checked."""

    source: str
    evidence: str | None
    beta: float | None
    method: str
    gap: float
    time_limit: float
    delta: float
    seed: int
    memory: float | None
    certificate: str | None
    resume: str | None
    embed: bool
    json: bool
    marginals: bool
    uai: str | None
    log: str
    started: float


def logz(
    ctx: typer.Context,
    model: opt.Model,
    method: Annotated[str, typer.Option(help='auto, or a constructor such as "Bethe(damping=0.3)".')] = "auto",
    gap: opt.Gap = 0.01,
    time_limit: opt.TimeLimit = 60.0,
    delta: opt.Delta = 0.0,
    beta: opt.Beta = None,
    temperature: opt.Temperature = None,
    evidence: opt.Evidence = None,
    marginals: Annotated[bool, typer.Option("--marginals", help="Print p(x_i = state) too.")] = False,
    certificate: opt.Certificate = None,
    resume: Annotated[
        str | None, typer.Option(metavar="CERT", help="Start from the bracket that this certificate of MODEL claims.")
    ] = None,
    no_embed: Annotated[bool, typer.Option("--no-embed", help="Leave the model out of the certificate.")] = False,
    json: opt.Json = False,
    format: Annotated[
        str | None, typer.Option(metavar="uai", help="Also write the UAI answers OUT.PR and OUT.MAR.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="OUT", help="For --format. [default: the model's name, here]"),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(metavar="|".join(STYLES), help="Progress on stderr. [default: live on a terminal, else plain]"),
    ] = None,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    memory: opt.Memory = None,
) -> None:
    """Bracket log Z of MODEL from both sides, in nats, each side saying what it rests on."""
    if format not in (None, "uai"):
        raise typer.BadParameter(f"{format!r} is not a format; expected uai", param_hint="--format")
    if output is not None and format is None:
        raise typer.BadParameter("-o says where --format uai writes; give that too")
    if log not in (None, *STYLES):
        raise typer.BadParameter(f"{log!r} is not one of {', '.join(STYLES)}", param_hint="--log")
    base = None if format is None else _answer_name(model, output)
    started = time.monotonic() if ctx.obj is None else ctx.obj
    prepare(threads)
    job = Job(
        *(model, evidence, opt.inverse_temperature(beta, temperature), method, gap, time_limit, delta, seed, memory),
        *(certificate, resume, not no_embed, json, marginals or base is not None, base, choose_style(log), started),
    )
    with interruptible() as interrupts:
        code = _run(job, interrupts)
    raise typer.Exit(code)


def _run(job: Job, interrupts: Interrupts) -> int:
    """Loads, searches, prints, writes what else was asked for."""
    model, found, bounds = None, None, None
    about: dict[str, Any] = {"source": job.source, "variables": None, "factors": None, "sha256": None}
    with interrupts.stops():
        model = load_model(job.source, job.evidence, job.beta, interrupts)
        about = out.describe_model(job.source, model)
        found = _search(job, model, interrupts)
        bounds = _marginal_bounds(job, model, found)
    if found is None:
        reason = "interrupted before there was a bound"
        found = Found(None, "interrupted", {"lower": reason, "upper": reason})
    settings: dict[str, Any] = {"started": job.started, "seed": job.seed}
    doc = out.document(about, found.answer, stopped=found.stopped, reasons=found.reasons, **settings)
    if job.marginals:
        out.add_marginals(doc, found.answer, bounds)
    (out.print_json if job.json else out.print_text)(doc)
    _explain(doc, found, job)
    written = [_write_certificate(job, found, model), _write_answers(job, doc)]
    return max(out.exit_code(found.stopped), *written)


def _search(job: Job, model: Any, interrupts: Interrupts) -> Found:
    from calipers.cli.method_text import parse_method
    from calipers.core.answer import Contradiction
    from calipers.io.certificate import resume
    from calipers.io.errors import InputError

    start = None if job.resume is None else resume(job.resume, model)
    options: dict[str, Any] = {"seed": job.seed, "interrupts": interrupts, "start": start}
    seconds = job.time_limit * (_SEARCHED if job.marginals else 1.0)
    limits = make_limits(
        deadline=job.started + seconds, gap=job.gap, delta=job.delta, memory=job.memory, beliefs=job.marginals
    )
    try:
        with GapLog(job.log, job.started, job.time_limit, int(model.n)) as watch:
            return search(model, parse_method(job.method), limits, watch=watch, **options)
    except Contradiction as error:
        if job.resume is None:
            raise
        raise InputError(job.resume, None, f"a claim is contradicted by what was found now: {error}") from None


def _marginal_bounds(job: Job, model: Any, found: Found) -> Any:
    """Bounds on all marginals in the time that is left, where log Z did not turn out exact; None if unasked."""
    left = job.started + job.time_limit - time.monotonic()
    answer = found.answer
    known = answer is not None and answer.belief is not None and str(answer.belief.grounds) == "exact"
    if not job.marginals or known or found.stopped in ("interrupted", "refused") or left <= 0.0 or model.n > _MANY:
        return None
    if answer is not None and answer.upper.value == float("-inf"):
        return None
    from calipers.bounds.marginal_bounds import marginal_bounds
    from calipers.cli.machine import usable_memory

    return marginal_bounds(model, time_limit=left, memory=usable_memory() if job.memory is None else job.memory * 1e9)


def _explain(doc: dict[str, Any], found: Found, job: Job) -> None:
    """What a reader of the numbers must also know, a line each."""
    if doc["log_z"]["lower"] == doc["log_z"]["upper"] == "-inf":
        out.say("log Z = −∞: every configuration has weight zero (contradictory evidence, or an all-zero table)")
    for text in dict.fromkeys(found.reasons.values()):
        sides = " and ".join(side for side, reason in found.reasons.items() if reason == text)
        out.say(f"no {sides} bound: {text}")
    if found.stopped == "unconverged":
        out.say("the iteration stopped before it converged; its value is not to be trusted")
    if job.marginals and doc["marginals"] is None:
        out.say("no marginals: no method that ran forms beliefs about this model")


def _write_certificate(job: Job, found: Found, model: Any) -> int:
    """Writes the certificate if asked; 3 when there is nothing to certify."""
    if job.certificate is None:
        return 0
    if found.answer is None or found.reasons.keys() == {"lower", "upper"}:
        out.say("no certificate: neither side is bounded")
        return 3
    from calipers.io.certificate import Certificate

    try:
        certificate = Certificate.from_answer(found.answer, model)
        certificate.save(job.certificate, embed=job.embed)
    except ValueError as error:
        out.say(f"no certificate: {error}")
        return 3
    except OSError as error:
        out.say(f"no certificate: {job.certificate} cannot be written: {error.strerror or error}")
        return 1
    said = {"lower": found.answer.deterministic[0].value, "upper": found.answer.deterministic[1].value}
    for claim in certificate.claims:
        if abs(float(claim.claim) - said[claim.side]) > 1e-9 * max(1.0, abs(said[claim.side])):
            out.say(f"the certificate's {claim.side} side is {claim.claim}: the tighter one leaves no witness")
    return 0


def _answer_name(source: str, output: str | None) -> str:
    """What OUT.PR and OUT.MAR stand on: -o, else the model's own name, in the working directory."""
    if output is None:
        safe = "".join(c if c.isalnum() or c in ".-=" else "_" for c in source)
        return Path(source).name if Path(source).exists() else safe
    for end in (".PR", ".MAR"):
        opt.check_writable(output.removesuffix(".PR").removesuffix(".MAR") + end)
    return output.removesuffix(".PR").removesuffix(".MAR")


def _write_answers(job: Job, doc: dict[str, Any]) -> int:
    """Writes the UAI files; log Z there is the estimate, else the middle of the bracket; 3 when there is neither."""
    if job.uai is None:
        return 0
    from calipers.io.uai_writer import write_mar, write_pr

    lower, upper, value = (doc["log_z"][key] for key in ("lower", "upper", "value"))
    if value is None and isinstance(lower, float) and isinstance(upper, float):
        value = 0.5 * (lower + upper)
    if value is not None:
        write_pr(float(value), job.uai + ".PR")
    else:
        out.say(f"no {job.uai}.PR: there is neither an estimate nor a bracket")
    if doc["marginals"] is not None:
        write_mar(doc["marginals"], job.uai + ".MAR")
    return 0 if value is not None and doc["marginals"] is not None else 3
