"""Models as the checker sees them: factors by number, exact numbers, and nothing simplified.

Three kinds, each defined by its arrays ("parts"); Z is Σ_x Π_a f_a(x)^β over the x that agree with `evidence`:

* `uai`     text (the tokens of a UAI file, single spaces): f are its decimal numbers, taken exactly.
* `tables`  sizes, scopes, scopes_start, values: f = exp(values), float64 taken exactly, −inf for zero.
* `ising`   edges (sorted, i < j), couplings, fields, offset: factors exp(J s s') per edge, then exp(H s) per site, then
            exp(−offset) when offset ≠ 0; state 0 is spin +1 and state 1 is spin −1.

All have `beta` (1 entry) and `evidence` (k × 2, ascending). Powers of zero are zero.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import prod

import numpy as np
from flint import arb

from calipers_check.archive import digest, floats, ints, ragged
from calipers_check.errors import Reject
from calipers_check.propagation import Propagation
from calipers_check.tables import ZERO, from_logs, log, positive

LONG = re.compile(rb"[eE][+-]?\d{4}")
NUMBER = re.compile(rb"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,6})?|-0+\.?0*")


class Model(ABC):
    """Sizes of the domains, scopes of the factors, evidence, β; `cells(a)` gives the weights of factor a."""

    def __init__(self, kind: str, parts: dict[str, np.ndarray], sizes: list[int], scopes: list[tuple[int, ...]]):
        self.kind, self.parts, self.sizes, self.scopes = kind, parts, sizes, scopes
        self.digests = {name: digest(part) for name, part in parts.items()}
        beta = floats(parts, "beta")
        if beta.shape != (1,) or not np.isfinite(beta[0]):
            raise Reject("the model's beta is not one finite number")
        self.beta = arb(float(beta[0]))
        for a, scope in enumerate(scopes):
            if len(set(scope)) != len(scope) or any(not 0 <= v < len(sizes) for v in scope):
                raise Reject(f"the model's factor {a} has a scope with a repeated or unknown variable")
        self.evidence = self._evidence()

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical form: the kind and the digest of every part."""
        return model_digest(self.kind, self.digests)

    @cached_property
    def propagation(self) -> Propagation:
        """Which states evidence and zeros leave."""
        return Propagation(self)

    def _evidence(self) -> dict[int, int]:
        pairs = ints(self.parts, "evidence", columns=2).tolist()
        if any(a[0] >= b[0] for a, b in pairwise(pairs)):
            raise Reject("the model's evidence is not in ascending order of distinct variables")
        for v, state in pairs:
            if not 0 <= v < len(self.sizes) or not 0 <= state < self.sizes[v]:
                raise Reject(f"evidence {v}={state} names a variable or a state that the model does not have")
        return dict(pairs)

    @abstractmethod
    def cells(self, a: int) -> list[arb]:
        """Weights of factor a over its whole scope, C order."""

    def logs(self, a: int) -> list[arb | float]:
        """Logs of the weights of factor a, −inf for zero."""
        return [log(x) for x in self.cells(a)]

    @abstractmethod
    def zeros(self, a: int) -> np.ndarray:
        """Which weights of factor a are exactly zero, flat."""

    def labels(self, a: int) -> list:
        """Something for each weight of factor a, flat; where labels are equal, the weights are."""
        return self.zeros(a).tolist() if self.beta == 0 else self._labels(a)

    @abstractmethod
    def _labels(self, a: int) -> list:
        """The same, before the power β."""

    @abstractmethod
    def at_least(self, a: int, above: tuple[int, int], below: tuple[int, int]) -> bool:
        """Whether the product of two weights is at least that of two others, β > 0 aside: in exact arithmetic."""


class Uai(Model):
    """A UAI file: its tokens, with decimal numbers taken exactly."""

    def __init__(self, parts: dict[str, np.ndarray]):
        text = parts.get("text")
        if text is None or text.dtype != np.uint8 or text.ndim != 1:
            raise Reject("the model has no text")
        self.tokens = text.tobytes().split()
        sizes, scopes, self.starts, end = uai_structure(self.tokens)
        if b" ".join(self.tokens[:end]) != text.tobytes():
            raise Reject("the model's text is not in canonical form (tokens up to the last table, single spaces)")
        self.known: dict[bytes, arb] = {}
        super().__init__("uai", parts, sizes, scopes)

    def _tokens(self, a: int) -> list[bytes]:
        return self.tokens[self.starts[a] : self.starts[a] + prod(self.sizes[v] for v in self.scopes[a])]

    def cells(self, a: int) -> list[arb]:
        return [self.known[t] if t in self.known else self._number(t) for t in self._tokens(a)]

    def _number(self, token: bytes) -> arb:
        if len(token) > 4096 or not NUMBER.fullmatch(token):
            raise Reject(f"the model has {token[:20].decode('ascii', 'replace')!r} where a non-negative number belongs")
        ball = ZERO if _is_zero(token) else arb(token.decode())
        self.known[token] = ball if ball.is_zero() else positive(ball if self.beta == 1 else ball**self.beta)
        return self.known[token]

    def zeros(self, a: int) -> np.ndarray:
        return np.array([_is_zero(t) for t in self._tokens(a)], bool)

    def _labels(self, a: int) -> list:
        return [_canonical(t) for t in self._tokens(a)]

    def at_least(self, a: int, above: tuple[int, int], below: tuple[int, int]) -> bool:
        tokens = self._tokens(a)
        if any(len(tokens[i]) > 400 or LONG.search(tokens[i]) for i in (*above, *below)):
            return False  # numbers of more than a thousand digits: not decided
        p, q, r, s = (Fraction(tokens[i].decode()) for i in (*above, *below))
        return p * q >= r * s


class Tables(Model):
    """Log tables in float64."""

    def __init__(self, parts: dict[str, np.ndarray]):
        sizes, self.values = ints(parts, "sizes").tolist(), floats(parts, "values")
        scopes = [tuple(scope) for scope in ragged(parts, "scopes")]
        if any(size < 1 for size in sizes) or any(not 0 <= v < len(sizes) for scope in scopes for v in scope):
            raise Reject("the model has an empty domain or a scope with an unknown variable")
        self.starts = [0]
        for scope in scopes:
            self.starts.append(self.starts[-1] + prod(sizes[v] for v in scope))
        if self.starts[-1] != len(self.values) or np.isnan(self.values).any() or np.isposinf(self.values).any():
            raise Reject("the model's tables do not fit their scopes, or hold NaN or infinity")
        super().__init__("tables", parts, sizes, scopes)

    def _values(self, a: int) -> np.ndarray:
        return self.values[self.starts[a] : self.starts[a + 1]]

    def cells(self, a: int) -> list[arb]:
        cells = from_logs(self._values(a).tolist())
        return cells if self.beta == 1 else [x if x.is_zero() else positive(x**self.beta) for x in cells]

    def logs(self, a: int) -> list[arb | float]:
        return [x if x == float("-inf") else self.beta * arb(x) for x in self._values(a).tolist()]

    def zeros(self, a: int) -> np.ndarray:
        return np.isneginf(self._values(a))

    def _labels(self, a: int) -> list:
        return self._values(a).tolist()

    def at_least(self, a: int, above: tuple[int, int], below: tuple[int, int]) -> bool:
        p, q, r, s = (float(self._values(a)[i]) for i in (*above, *below))
        return min(r, s) == -np.inf or (min(p, q) > -np.inf and Fraction(p) + Fraction(q) >= Fraction(r) + Fraction(s))


class Ising(Model):
    """Couplings and fields in float64, on a graph."""

    def __init__(self, parts: dict[str, np.ndarray]):
        edges, self.fields = ints(parts, "edges", columns=2), floats(parts, "fields")
        self.couplings, self.offset = floats(parts, "couplings"), floats(parts, "offset")
        rows = edges.tolist()
        if any(not 0 <= i < j < len(self.fields) for i, j in rows) or any(a >= b for a, b in pairwise(rows)):
            raise Reject("the model's edges are not sorted pairs i < j of its sites")
        if self.couplings.shape != (len(rows),) or self.offset.shape != (1,):
            raise Reject("the model has not one coupling an edge, or not one offset")
        if not all(np.isfinite(part).all() for part in (self.couplings, self.fields, self.offset)):
            raise Reject("the model's couplings, fields or offset are not finite")
        sites = [(i,) for i in range(len(self.fields))]
        constant = [()] if self.offset[0] != 0 else []
        self.known: dict[float, list[arb]] = {}
        super().__init__("ising", parts, [2] * len(sites), [*map(tuple, rows), *sites, *constant])

    def cells(self, a: int) -> list[arb]:
        e = len(self.couplings)
        if a < e:
            up, down = self._pair(self.couplings[a])
            return [up, down, down, up]
        return self._pair(self.fields[a - e]) if a < e + len(self.fields) else self._pair(self.offset[0])[1:]

    def _pair(self, value: float) -> list[arb]:
        """exp(±β value); equal numbers are computed once."""
        found = self.known.get(value)
        if found is None:
            log = self.beta * arb(float(value))
            found = self.known[value] = [positive(log.exp()), positive((-log).exp())]
        return found

    def logs(self, a: int) -> list[arb | float]:
        e = len(self.couplings)
        if a >= e + len(self.fields):
            return [-self.beta * arb(float(self.offset[0]))]
        up = self.beta * arb(float(self.couplings[a] if a < e else self.fields[a - e]))
        return [up, -up, -up, up] if a < e else [up, -up]

    def zeros(self, a: int) -> np.ndarray:
        return np.zeros(2 ** len(self.scopes[a]), bool)

    def _labels(self, a: int) -> list:
        e = len(self.couplings)
        if a >= e + len(self.fields):
            return [float(self.offset[0])]
        up = float(self.couplings[a] if a < e else self.fields[a - e])
        return [up, -up, -up, up] if a < e else [up, -up]

    def at_least(self, a: int, above: tuple[int, int], below: tuple[int, int]) -> bool:
        aligned = sorted(above) == [0, 3]  # an edge is all there is with two variables
        return self.couplings[a] >= 0 if aligned else self.couplings[a] <= 0


KINDS: dict[str, type[Uai] | type[Tables] | type[Ising]] = {"uai": Uai, "tables": Tables, "ising": Ising}


def build(kind: str, parts: dict[str, np.ndarray]) -> Model:
    """The model that these parts define."""
    if kind not in KINDS:
        raise Reject(f"models of kind {str(kind)[:20]!r} are unknown to this checker")
    return KINDS[kind](parts)


def model_digest(kind: str, digests: dict[str, str]) -> str:
    """SHA-256 of a kind and of its parts' digests."""
    lines = [kind, *(f"{name} {digests[name]}" for name in sorted(digests))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def uai_structure(tokens: list[bytes]) -> tuple[list[int], list[tuple[int, ...]], list[int], int]:
    """Sizes, scopes, place of each table's first number, and the number of tokens that belong to the model."""
    place = 1

    def take(count: int) -> list[int]:
        nonlocal place
        found = tokens[place : place + count]
        if len(found) < count or not all(t.isdigit() and len(t) < 10 for t in found):
            raise Reject(f"the model's text is not UAI: counts are missing near token {place}")
        place += count
        return [int(t) for t in found]

    if not tokens or tokens[0] not in (b"MARKOV", b"BAYES"):
        raise Reject("the model's text is not UAI: it does not begin with MARKOV or BAYES")
    sizes = take(take(1)[0])
    scopes = [tuple(take(take(1)[0])) for _ in range(take(1)[0])]
    if 0 in sizes or any(v >= len(sizes) for scope in scopes for v in scope):
        raise Reject("the model's text is not UAI: an empty domain, or a scope with an unknown variable")
    starts = []
    for a, scope in enumerate(scopes):
        count = prod(sizes[v] for v in scope)
        if take(1) != [count] or place + count > len(tokens):
            raise Reject(f"the model's text is not UAI: table {a} does not have the {count} entries of its scope")
        starts.append(place)
        place += count
    return sizes, scopes, starts, place


def _canonical(token: bytes) -> tuple[str, int] | None:
    """The digits of a decimal number without zeros at either end, and the power of ten; None for zero."""
    if _is_zero(token):
        return None
    if not NUMBER.fullmatch(token):
        raise Reject(f"the model has {token[:20].decode('ascii', 'replace')!r} where a non-negative number belongs")
    digits, _, exponent = token.decode().lower().lstrip("+-").partition("e")
    whole, _, fraction = digits.partition(".")
    text = (whole + fraction).rstrip("0")
    return text.lstrip("0"), int(exponent or 0) - len(fraction) + len(whole + fraction) - len(text)


def _is_zero(token: bytes) -> bool:
    return not re.split(rb"[eE]", token)[0].strip(b"+-0.")
