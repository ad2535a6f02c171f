"""`calipers verify`: re-checks a certificate with the independent checker, which imports nothing of Calipers."""

from typing import Annotated

import typer

from calipers.cli import document as out
from calipers.cli import options as opt
from calipers.cli.interrupt import interruptible

EXAMPLES = """\b
Examples:
  calipers verify grid.cert
  calipers verify grid.cert --model grid.uai --evidence grid.uai.evid
  calipers verify magnet.cert --model magnet.npz --T 1.5 --json

\b
Exit codes: 0 every claim follows; 4 a claim does not follow, the file is damaged, or the model
differs; 5 unreadable; 2 usage."""


def verify(
    certificate: Annotated[str, typer.Argument(help="A .cert file.", show_default=False)],
    model: Annotated[
        str | None, typer.Option(metavar="FILE", help="Your model file; the certificate must speak of exactly that.")
    ] = None,
    evidence: opt.Evidence = None,
    beta: opt.Beta = None,
    temperature: opt.Temperature = None,
    json: opt.Json = False,
) -> None:
    """Check in interval arithmetic that every bound in CERTIFICATE follows from its model, trusting nothing else."""
    factor = opt.inverse_temperature(beta, temperature)
    if model is None and (evidence is not None or factor is not None):
        raise typer.BadParameter("--evidence, --beta and --T describe the file of --model; give that too")
    try:
        with interruptible() as interrupts, interrupts.held():
            from calipers_check import Unreadable, check
    except ModuleNotFoundError as error:
        raise typer.BadParameter(f"the checker is not installed ({error}); install calipers-check") from None
    try:
        verdict = check(certificate, model, evidence, 1.0 if factor is None else factor)
    except Unreadable as error:
        out.say(str(error))
        raise typer.Exit(5) from None
    if json:
        out.print_json(out.plain(verdict._asdict() | {"claims": [c._asdict() for c in verdict.claims]}))
    else:
        for c in verdict.claims:
            sign = "≥" if c.side == "lower" else "≤"
            ending = "follows" if c.accepted else f"DOES NOT FOLLOW; the witness proves {c.proved!r}"
            print(f"log Z {sign} {c.claim} nats {ending}   ({c.kind}, {c.method or 'no method named'})")
        ending = f"accepted for {verdict.about}" if verdict.accepted else f"rejected: {verdict.reason}"
        print(f"{ending}   ({verdict.seconds:.2f} s)")
    raise typer.Exit(0 if verdict.accepted else 4)
