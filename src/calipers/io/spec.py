"""Specifications: a whole model in one word.

    KIND:SIZE[,key=value…][,open]        square:64x64,T=2.269    square:16,J=pm1,h=gauss:0.1,beta=1,seed=7,open
    regular:DEGREE,n=SITES[,…]           regular:3,n=1000,J=pm1,seed=0        sk:100,beta=0.5

Keys: T or beta (default beta=1), J (default 1; sk draws its own), h (default 0), seed (default 0), n (regular only).
J and h are a number, pmA (±A) or gauss:S. Lattices are periodic unless `open`. One number means equal sides.
"""

import math
import re
from typing import Any, NamedTuple, NoReturn

from calipers.io.errors import SpecError
from calipers.models.ising import Ising
from calipers.models.lattices import KINDS, make_lattice
from calipers.models.laws import NUMBER, parse_law

_SIZE = re.compile(r"\d{1,18}(?:x\d{1,18})*", re.ASCII)
_NUMBER = re.compile(NUMBER, re.ASCII)
_DIGITS = re.compile(r"\d{1,18}", re.ASCII)
_KEYS = ("T", "beta", "J", "h", "seed", "n")


class Spec(NamedTuple):
    """A specification, read: `options` are what `Ising.on` takes besides `beta`."""

    kind: str
    shape: tuple[int, ...] | int
    beta: float
    options: dict[str, Any]


def is_spec(text: str) -> bool:
    """Whether `text` starts like a specification: a known kind and a colon, or a known kind alone."""
    return text.partition(":")[0].strip() in KINDS


def parse_spec(text: str) -> Spec:
    """Reads a specification without building the model.

    **Raises:** `SpecError` that names the part that is wrong, what came and what was expected.
    """
    kind, colon, rest = (part.strip() for part in text.partition(":"))
    if kind not in KINDS:
        _fail(text, f"expected one of the kinds {', '.join(KINDS)}, but came {kind!r}")
    size, *parts = [part.strip() for part in rest.split(",")]
    if not colon or not size:
        example = "regular:3,n=100" if kind == "regular" else f"{kind}:16"
        _fail(text, f"expected a size after {kind!r}, as in {example}")
    if not _SIZE.fullmatch(size) or (kind == "regular" and "x" in size):
        wanted = "a whole number, the degree" if kind == "regular" else "whole numbers joined by x, as in 16 or 16x16"
        _fail(text, f"size {size!r}: expected {wanted}")
    values = _read_parts(text, kind, parts)
    spec = _assemble(text, kind, [int(k) for k in size.split("x")], values)
    try:
        make_lattice(spec.kind, spec.shape, **spec.options)
    except ValueError as error:
        _fail(text, str(error))
    return spec


def from_spec(text: str) -> Ising:
    """Builds the magnet that a specification names.

    **Raises:** `SpecError` when it is malformed, impossible, or too large for this machine's memory.
    """
    spec = parse_spec(text)
    try:
        return Ising.on(spec.kind, spec.shape, beta=spec.beta, **spec.options)
    except ValueError as error:
        _fail(text, str(error))


def describe(text: str) -> str:
    """The same specification with every choice spelled out: sizes, laws, beta, and the seed where one matters.

    **Raises:** `SpecError` when it is malformed.
    """
    spec = parse_spec(text)
    full = make_lattice(spec.kind, spec.shape, **spec.options).spec(spec.beta)
    assert full is not None  # only arrays have no spec, and a text names none
    return full


def _read_parts(text: str, kind: str, parts: list[str]) -> dict[str, str]:
    """The parts after the size as {key: value}; `open` has the value ""."""
    allowed = [k for k in _KEYS if (k != "n" or kind == "regular") and (k != "J" or kind != "sk")]
    values: dict[str, str] = {}
    for part in parts:
        key, equals, value = (p.strip() for p in part.partition("="))
        if key == "open" and not equals:
            value = ""
        elif key not in allowed:
            came = "but it is empty" if not part else f"but came {part!r}"
            _fail(text, f"expected open, or one of {', '.join(f'{k}=' for k in allowed)} after the size, {came}")
        elif not value:
            _fail(text, f"{part!r}: expected a value, as in {key}=1")
        if key in values:
            _fail(text, f"{key!r} came twice")
        values[key] = value
    return values


def _assemble(text: str, kind: str, size: list[int], values: dict[str, str]) -> Spec:
    """Turns the words into numbers and laws."""
    options: dict[str, Any] = {"periodic": "open" not in values}
    for key, name in (("J", "coupling"), ("h", "field")):
        if key in values:
            try:
                options[name] = parse_law(values[key])
            except ValueError as error:
                _fail(text, f"{key}: {error}")
    options["seed"] = _whole(text, "seed", values.get("seed", "0"))
    shape: tuple[int, ...] | int = tuple(size) if len(size) > 1 else size[0]
    if kind == "regular":
        if "n" not in values:
            _fail(text, "expected n=, the number of sites, as in regular:3,n=100")
        options["degree"], shape = size[0], _whole(text, "n", values["n"])
    return Spec(kind, shape, _read_beta(text, values), options)


def _read_beta(text: str, values: dict[str, str]) -> float:
    if "T" in values and "beta" in values:
        _fail(text, "T and beta both came; expected one of them (beta = 1/T)")
    key = "T" if "T" in values else "beta"
    word = values.get(key, "1")
    number = float(word) if _NUMBER.fullmatch(word) else math.nan
    if key == "T":
        number = 1.0 / number if number > 0 else math.nan
    if not (math.isfinite(number) and number >= 0):
        wanted = "a temperature above 0" if key == "T" else "a finite number, 0 or above"
        _fail(text, f"{key}={word}: expected {wanted}")
    return number


def _whole(text: str, key: str, word: str) -> int:
    if not _DIGITS.fullmatch(word):
        _fail(text, f"{key}={word}: expected a whole number, 0 or above")
    return int(word)


def _fail(text: str, message: str) -> NoReturn:
    shown = text if len(text) <= 80 else text[:77] + "..."
    raise SpecError(f"spec {shown!r}: {message}") from None
