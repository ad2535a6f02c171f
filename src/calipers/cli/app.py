"""The commands and what they are called. Nothing here, nor at the top of a command's file, imports anything heavy."""

from typing import Annotated

import typer

from calipers.cli.compare import compare
from calipers.cli.logz import logz
from calipers.cli.make import make
from calipers.cli.sample import sample
from calipers.cli.sweep import sweep
from calipers.cli.verify import verify

EXAMPLES = """\b
Examples:
  calipers logz square:16x16,T=2.269
  calipers logz grid.uai --evidence grid.uai.evid --json
  calipers logz grid.uai --certificate grid.cert && calipers verify grid.cert --model grid.uai"""

app = typer.Typer(
    name="calipers",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for _command in (logz, verify, compare, sweep, sample, make):
    app.command(_command.__name__, epilog=_command.__globals__["EXAMPLES"])(_command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"calipers {version('calipers')}")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def calipers(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """log Z from both sides: brackets on partition functions and evidences, each side saying what it rests on.

    MODEL is a file (.uai, .npz, a dimod BQM .json) or a spec such as square:64x64,T=2.269.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
