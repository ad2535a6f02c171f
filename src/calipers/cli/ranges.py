"""Ranges on the command line: `1:4:61` is 61 values from 1 to 4, `1,2,2.5` those values, `2.269` one."""

import math

import typer

_MOST = 100_000


def parse_range(text: str, name: str, least: float = -math.inf, *, open_end: bool = False) -> list[float]:
    """The values that `text` spells.

    **Arguments:** `name`, the option, for the message; `least`, what no value may be below (or at, if `open_end`).

    **Raises:** `typer.BadParameter` saying what came and what was expected.
    """
    expected = "start:stop:count such as 1:4:61, or values such as 1,2,2.5"
    parts = text.split(":")
    try:
        if len(parts) == 3:
            values = _spread(float(parts[0]), float(parts[1]), int(parts[2]))
        elif len(parts) == 1:
            values = [float(word) for word in text.split(",")]
        else:
            raise ValueError
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a range; expected {expected}", param_hint=name) from None
    for x in values:
        if not math.isfinite(x) or x < least or (open_end and x == least):
            rule = "finite" if least == -math.inf else f"finite and {'>' if open_end else '≥'} {least:g}"
            raise typer.BadParameter(f"{text!r} holds {x}; values must be {rule}", param_hint=name)
    return values


def _spread(start: float, stop: float, count: int) -> list[float]:
    if not 1 <= count <= _MOST or (count == 1 and start != stop):
        raise ValueError
    return [start + (stop - start) * i / max(count - 1, 1) for i in range(count)]
