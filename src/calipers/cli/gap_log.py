"""The gap log: one row on stderr when a bound moves, after the logs of integer programming solvers.

    time  regions            lower             upper         gap   per spin  moved by
     0.4        1   140.1234 computed  160.2345 computed  20.1111   0.201111  upper MiniBucket(ibound=4, …)

`live` keeps a line with the clock under the rows and needs a terminal; `plain` appends rows; `json` appends one
object a row; `off` is silent. Rows closer than a tenth of a second are drawn together.
"""

import json
import math
import sys
import time
from typing import Any

_COLOURS = {"exact": "green", "certified": "green", "computed": "cyan", "statistical": "yellow", "none": "red"}
_PAUSE = 0.1  # seconds
STYLES = ("live", "plain", "json", "off")


def choose_style(wanted: str | None) -> str:
    """What `--log` means here: `live` needs a terminal, and is what a terminal gets unasked."""
    terminal = sys.stderr.isatty()
    if wanted in (None, "live"):
        return "live" if terminal else "plain"
    return str(wanted)


class GapLog:
    """Watches answers go by. A context manager; call it with each answer."""

    def __init__(self, style: str, started: float, limit: float, variables: int) -> None:
        self.style, self.started, self.limit, self.variables = style, started, limit, max(variables, 1)
        self.answer: Any = None  # the latest
        self.drawn: tuple[float, float] = (-math.inf, math.inf)
        self.drawn_at, self.steps, self.rows = -math.inf, 0, 0
        self.live: Any = None

    def __enter__(self) -> "GapLog":
        if self.style == "live":
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
            self.live = Live(console=console, get_renderable=self._status, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._draw()
        finally:
            if self.live is not None:
                self.live.stop()

    def __call__(self, answer: Any) -> None:
        """Takes note of an answer; draws a row if a bound moved."""
        self.answer, self.steps = answer, self.steps + 1
        if time.monotonic() - self.drawn_at >= _PAUSE:
            self._draw()

    def _draw(self) -> None:
        answer, now = self.answer, time.monotonic()
        if self.style == "off" or answer is None or (answer.lower.value, answer.upper.value) == self.drawn:
            return
        row = self._row(now)
        self.drawn, self.drawn_at = (answer.lower.value, answer.upper.value), now
        if self.style == "json":
            _print(json.dumps(row, ensure_ascii=False, allow_nan=False))
            return
        if self.rows % 20 == 0:
            heads = ("lower", "upper", "gap", "per spin")
            head = "    time {:>8} {:>14} {:<11} {:>14} {:<11} {:>11} {:>10}  moved by"
            self._print(
                head.format("regions" if "regions" in answer.stats else "step", heads[0], "", heads[1], "", *heads[2:])
            )
        self.rows += 1
        self._print(self._line(row))

    def _row(self, now: float) -> dict[str, Any]:
        """What a row says, as plain numbers and words."""
        answer, count = self.answer, "regions" if "regions" in self.answer.stats else "step"
        moved = [
            name
            for name, side, before in zip(("lower", "upper"), (answer.lower, answer.upper), self.drawn, strict=True)
            if side.value != before
        ]
        said = answer.to_dict()
        return {
            "seconds": round(now - self.started, 3),
            count: answer.stats.get("regions", self.steps),
            **{name: said["log_z"][name] for name in ("lower", "upper")},
            "gap": said["gap"],
            "per_spin": answer.gap / self.variables if math.isfinite(answer.gap) else "inf",
            "grounds": said["grounds"],
            "moved": {name: said["methods"][name] for name in moved},
        }

    def _line(self, row: dict[str, Any]) -> str:
        count, grounds = row.get("regions", row.get("step")), row["grounds"]
        moved, methods = row["moved"], list(dict.fromkeys(row["moved"].values()))
        by = methods[0] if len(methods) == 1 else ", ".join(f"{side} {name}" for side, name in moved.items())
        if len(methods) == 1 and len(moved) == 1:
            by = f"{next(iter(moved))} {by}"
        return (
            f"{row['seconds']:8.2f} {count:>8} {_fixed(row['lower'])} {grounds['lower']:<11} {_fixed(row['upper'])} "
            f"{grounds['upper']:<11} {_short(row['gap'], 11)} {_short(row['per_spin'], 10)}  {by}"
        )

    def _status(self) -> Any:
        """The line that stays at the bottom of a terminal."""
        from rich.spinner import Spinner

        clock = f"{time.monotonic() - self.started:.0f} s of {self.limit:g} s"
        text = "Ctrl-C keeps the bracket" if self.answer is None else str(self.answer)  # both would not fit 80 columns
        return Spinner("dots", text=f"{clock}   {text}")

    def _print(self, line: str) -> None:
        if self.live is None:
            _print(line)
            return
        from rich.text import Text

        text = Text(line)
        for word, colour in _COLOURS.items():
            text.highlight_words([f" {word} "], colour)
        self.live.console.print(text)


def _fixed(value: float | str) -> str:
    return f"{value:>14}" if isinstance(value, str) else f"{value:14.4f}"


def _short(value: float | str, width: int) -> str:
    return f"{value:>{width}}" if isinstance(value, str) else f"{value:{width}.4g}"


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
