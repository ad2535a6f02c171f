"""`calipers compare`: every method on one model, side by side; a method that refuses says why."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from calipers.cli import document as out
from calipers.cli import options as opt
from calipers.cli.interrupt import Interrupts, interruptible
from calipers.cli.machine import prepare
from calipers.cli.method_text import METHODS, parse_method
from calipers.cli.search import load_model, make_limits, search

EXAMPLES = """\b
Examples:
  calipers compare square:10x10,T=2.269
  calipers compare grid.uai --evidence "3=1,7=0" --time-limit 5
  calipers compare "sk:20,beta=0.5,seed=0" --json

\b
Exact and computed sides hold; an estimate is only a value. Exit codes: 0 done, 130 interrupted (the
methods so far are shown), 2 usage, 5 bad input file, 1 internal error."""

_ROW = "{:<14} {:>18} {:<12} {:>18} {:>18} {:<12} {:>8}  {}"


def compare(
    ctx: typer.Context,
    model: opt.Model,
    time_limit: Annotated[float, typer.Option(help="Seconds for each method.", callback=opt.positive)] = 20.0,
    beta: opt.Beta = None,
    temperature: opt.Temperature = None,
    evidence: opt.Evidence = None,
    delta: opt.Delta = 0.0,
    json: opt.Json = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    memory: opt.Memory = None,
) -> None:
    """Run every method on MODEL: bounds, estimates, what each rests on, and the time it took."""
    factor = opt.inverse_temperature(beta, temperature)
    started = time.monotonic() if ctx.obj is None else ctx.obj
    prepare(threads)
    rows: list[dict[str, Any]] = []
    about: dict[str, Any] = {"source": model, "variables": None, "factors": None, "sha256": None}
    best: Any = None
    with interruptible() as interrupts, interrupts.stops():
        found = load_model(model, evidence, factor, interrupts)
        about = out.describe_model(model, found)
        if not json:
            print(_ROW.format("method", "lower", "", "value", "upper", "", "seconds", "").rstrip())
        for row, answer in _rows(found, time_limit, delta, memory, seed, interrupts):
            rows.append(row)
            best = answer if best is None else best & answer
            if not json:
                _print_row(row)
    if json:
        stopped = "interrupted" if interrupts.asked else "done"
        doc = out.document(about, best, stopped=stopped, reasons={}, started=started, seed=seed)
        out.print_json({**{k: v for k, v in doc.items() if k not in ("plan", "stats", "reasons")}, "compared": rows})
    raise typer.Exit(130 if interrupts.asked else 0)


def _rows(
    model: Any, seconds: float, delta: float, memory: float | None, seed: int, interrupts: Interrupts
) -> Iterator[tuple[dict[str, Any], Any]]:
    """A row and an answer a method; the interrupted one is the last."""
    for name in METHODS:
        if name == "Auto":  # it runs the others
            continue
        method, start = parse_method(name), time.monotonic()
        limits = make_limits(deadline=start + seconds, delta=delta, memory=memory)
        found = search(model, method, limits, seed=seed, interrupts=interrupts)
        said = found.answer.to_dict()
        yield (
            {
                "method": repr(method),
                "log_z": said["log_z"],
                "grounds": said["grounds"],
                "stopped": found.stopped,
                "reasons": found.reasons,
                "stats": out.plain(found.answer.stats),
                "seconds": round(time.monotonic() - start, 3),
            },
            found.answer,
        )
        if interrupts.asked:
            return


def _print_row(row: dict[str, Any]) -> None:
    """One line: infinite sides as a dash, and why when the method would not run."""
    cells = [_cell(row["log_z"][key]) for key in ("lower", "value", "upper")]
    grounds = ["" if row["grounds"][side] == "none" else row["grounds"][side] for side in ("lower", "upper")]
    note = row["reasons"].get("lower", "") if row["stopped"] == "refused" else row["stopped"]
    name = row["method"].partition("(")[0]
    line = _ROW.format(name, cells[0], grounds[0], cells[1], cells[2], grounds[1], f"{row['seconds']:.2f}", note)
    print(line.rstrip(), flush=True)


def _cell(value: float | str | None) -> str:
    """Ten significant digits suffice to compare by; `--json` has them all."""
    return "–" if value is None or value == "inf" else value if isinstance(value, str) else f"{value:.6f}"
