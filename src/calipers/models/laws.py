"""Laws that couplings and fields are drawn from, as they are written: `-1`, `pm1`, `gauss:0.5`.

    c          every value is c
    pmA        ±A, each sign with probability ½
    gauss:S    normal, mean 0, standard deviation S

Values are float64. The stream is numpy's: with `rng = np.random.default_rng(seed)`, a model draws its graph first
(random graphs only), then one value a bond in the order of `lattices.bonds`, then one value a site. Signs are
`2 * rng.integers(0, 2, count) - 1`, normal values `S * rng.standard_normal(count)`; a constant draws nothing.
"""

import math
import re
from typing import NamedTuple

import numpy as np

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LAW = re.compile(rf"(?P<kind>pm|gauss:|)(?P<scale>{NUMBER})", re.ASCII)
GIVEN = "given"  # how values that the caller supplied are described


class Law(NamedTuple):
    """A law: `kind` is "", "pm" or "gauss:"; `scale` the constant, the amplitude or the standard deviation."""

    kind: str
    scale: float

    def __str__(self) -> str:
        return self.kind + show_number(self.scale)

    @property
    def random(self) -> bool:
        """Whether it consumes random numbers."""
        return self.kind != ""

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` values, shape (count,)."""
        if self.kind == "pm":
            return self.scale * (2.0 * rng.integers(0, 2, count) - 1.0)
        if self.kind == "gauss:":
            return self.scale * rng.standard_normal(count)
        return np.full(count, self.scale)


def parse_law(text: str) -> Law:
    """Reads a law.

    **Raises:** `ValueError` when the text is not one.
    """
    match = _LAW.fullmatch(text.strip())
    scale = float(match["scale"]) if match else math.nan
    if match is None or not math.isfinite(scale) or (match["kind"] and scale < 0):
        raise ValueError(f"expected a number, pmA for ±A or gauss:S for a normal law (A, S ≥ 0), but came {text!r}")
    return Law(match["kind"], scale)


def law_of(values: float | str | Law | np.ndarray) -> Law | None:
    """The law that `values` names; None for an array, whose values are given."""
    if isinstance(values, Law):
        return parse_law(str(values))
    if isinstance(values, str):
        return parse_law(values)
    return None if np.ndim(values) else parse_law(repr(float(values)))


def draw(values: float | str | Law | np.ndarray, count: int, rng: np.random.Generator, what: str) -> np.ndarray:
    """`count` values: drawn from a law, or checked to be as many when they are given.

    **Raises:** `ValueError` when an array has another shape; `what` names the values in the message.
    """
    law = law_of(values)
    if law is not None:
        return law.draw(count, rng)
    array = np.array(values, np.float64)
    if array.shape != (count,):
        raise ValueError(f"{what} have shape {array.shape}; this model needs ({count},), or one number, or a law")
    return array


def show_number(x: float) -> str:
    """The shortest text that reads back as the same float64."""
    return repr(float(x)).removesuffix(".0")
