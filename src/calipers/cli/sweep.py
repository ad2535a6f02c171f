"""`calipers sweep`: brackets and observables of one model against temperature or field, as CSV and as a figure."""

import contextlib
import csv
import sys
from collections.abc import Iterator
from typing import Annotated, Any, TextIO

import typer

from calipers.cli import document as out
from calipers.cli import options as opt
from calipers.cli.interrupt import Interrupts, interruptible
from calipers.cli.machine import prepare
from calipers.cli.ranges import parse_range
from calipers.cli.search import load_model

EXAMPLES = """\b
Examples:
  calipers sweep square:8x8 --T 1:4:61 -o square.csv --figure square.png
  calipers sweep "square:16x16,open" --beta 0.1:1:10
  calipers sweep square:6x6 --T 2.269 --h=-0.5:0.5:21 > loop.csv
  calipers sweep square:64x64 --T 2:2.6:13 --kernel "SwendsenWang()" --sweeps 5000 --time-limit 60

\b
Ranges are start:stop:count, or values with commas. --T and --beta multiply the model's own inverse
temperature, so leave T out of the spec; --h adds to its fields. Exit codes: 0 done, 130 interrupted
(the rows so far are written), 2 usage, 5 bad input file, 1 internal error."""

_FIGURES = (".png", ".pdf", ".svg")


def sweep(
    model: opt.Model,
    temperature: Annotated[str | None, typer.Option("--T", metavar="RANGE", help="Temperatures.")] = None,
    beta: Annotated[str | None, typer.Option(metavar="RANGE", help="Inverse temperatures, instead.")] = None,
    field: Annotated[str | None, typer.Option("--h", metavar="RANGE", help="Fields, added to the model's own.")] = None,
    evidence: opt.Evidence = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            callback=opt.check_writable,
            help="CSV, or a figure. [default: CSV on stdout]",
        ),
    ] = None,
    figure: Annotated[
        str | None, typer.Option(metavar="FILE", callback=opt.check_writable, help="A figure too (.png, .pdf, .svg).")
    ] = None,
    time_limit: Annotated[
        float, typer.Option(help="Seconds for each method at each point.", callback=opt.positive)
    ] = 2.0,
    kernel: Annotated[
        str, typer.Option(help='Markov kernel: auto (where exact values are out of reach), none, or as "Wolff()".')
    ] = "auto",
    sweeps: Annotated[int, typer.Option(metavar="N", help="Sweeps of each Markov chain.", min=32)] = 2000,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    memory: opt.Memory = None,
) -> None:
    """Bracket log Z and compute observables of MODEL over a range of temperatures or fields."""
    betas, fields = _betas(temperature, beta), [0.0] if field is None else parse_range(field, "--h")
    table, pictures = _places(output, figure)
    prepare(threads)
    chosen = _kernel(kernel)
    rows: list[dict[str, Any]] = []
    with interruptible() as interrupts, interrupts.stops():
        found = load_model(model, evidence, None, interrupts)
        _check(found, field is not None)
        with _open(*table) as file:
            settings = (time_limit, memory, seed, chosen, sweeps)
            for row in _rows(found, betas, fields, settings, interrupts, file):
                rows.append(row)
    for picture in pictures:
        if rows:
            from calipers.cli.sweep_figure import draw

            draw(rows, max(int(found.n), 1), model, picture)
    raise typer.Exit(130 if interrupts.asked else 0)


def _betas(temperature: str | None, beta: str | None) -> list[float]:
    """The inverse temperatures that `--T` or `--beta` spells; the model's own when neither is given."""
    if temperature is not None and beta is not None:
        raise typer.BadParameter("--beta and --T say the same thing; give one of them")
    if temperature is not None:
        return [1.0 / t for t in parse_range(temperature, "--T", 0.0, open_end=True)]
    return [1.0] if beta is None else parse_range(beta, "--beta", 0.0)


def _kernel(text: str) -> Any:
    """The Markov kernel that `--kernel` spells; "auto" and "none" stay."""
    if text in ("auto", "none"):
        return text
    from calipers.cli.method_text import parse_sampler
    from calipers.cli.sample_chain import is_kernel

    found = parse_sampler(text)
    if not is_kernel(found):
        raise typer.BadParameter(f"{text!r} is no Markov kernel, such as SwendsenWang()", param_hint="--kernel")
    return found


def _places(output: str | None, figure: str | None) -> tuple[tuple[str | None, bool], list[str]]:
    """Where the table goes (a file or None, and whether it goes nowhere because `-o` is a figure), and the figures."""
    drawn = output is not None and output.endswith(_FIGURES)
    if figure is not None and not figure.endswith(_FIGURES):
        raise typer.BadParameter(f"{figure!r} does not end in {', '.join(_FIGURES)}", param_hint="--figure")
    pictures = [name for name in (output if drawn else None, figure) if name is not None]
    return (None if drawn else output, drawn), pictures


def _check(model: Any, in_field: bool) -> None:
    from calipers.models.ising import Ising

    if in_field and not isinstance(model, Ising):
        raise typer.BadParameter("fields need a magnet without evidence; this model has none", param_hint="--h")
    if isinstance(model, Ising) and model.beta != 1.0:
        out.say(f"the model's own inverse temperature, {model.beta:g}, is multiplied by each point's")


@contextlib.contextmanager
def _open(path: str | None, silent: bool) -> Iterator[TextIO | None]:
    if path is not None:
        with open(path, "w", encoding="utf-8", newline="") as file:
            yield file
    else:
        yield None if silent else sys.stdout


def _rows(
    model: Any,
    betas: list[float],
    fields: list[float],
    settings: tuple[float, float | None, int, Any, int],
    interrupts: Interrupts,
    file: TextIO | None,
) -> Iterator[dict[str, Any]]:
    """Every point's row, written as soon as it is known."""
    from calipers.cli.sweep_points import COLUMNS, Point, Settings, evaluate
    from calipers.models.tempered import in_field

    writer = None if file is None else csv.DictWriter(file, COLUMNS, lineterminator="\n")
    if writer is not None:
        writer.writeheader()
    for h in fields:
        magnet = in_field(model, h)
        base = magnet.factor_graph()
        for beta in betas:
            row = evaluate(Point(magnet, base, beta, h), Settings(*settings), interrupts)
            if writer is not None and file is not None:
                writer.writerow(row)
                file.flush()
            yield row
