"""The arguments and options that commands share, each checked where it is read."""

import math
import os
from pathlib import Path
from typing import Annotated

import typer

_Float = float | None


def _at_least_zero(value: _Float) -> _Float:
    if value is not None and not value >= 0:
        raise typer.BadParameter(f"{value} is not a number ≥ 0")
    return value


def positive(value: _Float) -> _Float:
    if value is not None and not value > 0:
        raise typer.BadParameter(f"{value} is not a number > 0")
    return value


def _temperature(value: _Float) -> _Float:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"{value} is not a finite temperature > 0")
    return value


def _inverse_temperature(value: _Float) -> _Float:
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise typer.BadParameter(f"{value} is not a finite inverse temperature ≥ 0")
    return value


def _probability(value: float) -> float:
    if not 0 <= value < 1:
        raise typer.BadParameter(f"{value} is not a probability in [0, 1)")
    return value


def check_writable(value: str | None) -> str | None:
    """A file that could be written there; said before the work, not after it."""
    if value is None:
        return None
    path = Path(value)
    if path.is_dir():
        raise typer.BadParameter(f"{value} is a directory; a file's name was expected")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no directory {path.parent} to write {path.name} in")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise typer.BadParameter(f"{value} cannot be written")
    return value


Model = Annotated[
    str,
    typer.Argument(help="A file (.uai, .npz, dimod BQM .json) or a spec (square:64x64,T=2.269).", show_default=False),
]
Evidence = Annotated[
    str | None, typer.Option(metavar="FILE|TEXT", help='Observed states: an evidence file, or "3=1,7=0".')
]
Beta = Annotated[
    float | None, typer.Option(help="Inverse temperature; multiplies the model's own.", callback=_inverse_temperature)
]
Temperature = Annotated[float | None, typer.Option("--T", help="Temperature: --beta 1/T.", callback=_temperature)]
Gap = Annotated[float, typer.Option(help="Nats between the sides to stop at.", callback=_at_least_zero)]
TimeLimit = Annotated[
    float, typer.Option(help="Seconds of wall clock, counted from the start of the process.", callback=positive)
]
Delta = Annotated[
    float, typer.Option(help="Failure probability allowed to statistical sides; 0: none.", callback=_probability)
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of everything random.", min=0, max=2**63 - 1)]
Threads = Annotated[int | None, typer.Option(metavar="N", help="Threads to use. [default: all]", min=1, max=4096)]
Memory = Annotated[
    float | None, typer.Option(metavar="GB", help="Memory to use. [default: 80 % of what is free]", callback=positive)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Output = Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", callback=check_writable)]
Certificate = Annotated[
    str | None,
    typer.Option(metavar="OUT", help="Write what `calipers verify` checks the bracket with.", callback=check_writable),
]


def inverse_temperature(beta: float | None, temperature: float | None) -> float | None:
    """The β that `--beta` or `--T` asks for; None when neither does.

    **Raises:** `typer.BadParameter` when both do.
    """
    if beta is not None and temperature is not None:
        raise typer.BadParameter("--beta and --T say the same thing; give one of them")
    return beta if temperature is None else 1.0 / temperature
