"""`calipers make`: writes a model file from a spec, or converts one format into another."""

from typing import Annotated

import typer

from calipers.cli import document as out
from calipers.cli import options as opt
from calipers.cli.interrupt import interruptible
from calipers.cli.search import load_model

EXAMPLES = """\b
Examples:
  calipers make "square:16x16,J=pm1,h=gauss:0.1,seed=7,open" -o glass.npz
  calipers make glass.npz -o glass.uai --T 1.5
  calipers make grid.uai.gz -o clamped.uai --evidence "3=1,7=0"

\b
The suffix of FILE says the format: .uai or .uai.gz (anything), .npz or .json (magnets; .json is a
dimod BQM). A --beta or --T multiplies the model's own and is written into the file."""


def make(
    model: opt.Model,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="The file to write.", callback=opt.check_writable)
    ],
    beta: opt.Beta = None,
    temperature: opt.Temperature = None,
    evidence: opt.Evidence = None,
) -> None:
    """Write MODEL, a spec or a file, to a model FILE (.uai, .uai.gz, .npz, .json)."""
    from calipers.io import save

    with interruptible() as interrupts:
        found = load_model(model, evidence, opt.inverse_temperature(beta, temperature), interrupts)
        save(found, output)
    out.say(f"{output}: {found.n} variables, {len(found.factor_graph().scopes)} factors")
