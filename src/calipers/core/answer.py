"""What an answer is: two sides of log Z, each saying what it rests on, and what was learned on the way.

Grounds, in the order of trust: exact, certified, computed, statistical, none (see docs/contract.md). `a & b` keeps the
better of each side; the failure probabilities of everything that was looked at add up, winners and losers alike. What
is read from one *look* (one confidence sequence, one experiment) spends its δ once, however often it is read.
"""

import dataclasses
import enum
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import numpy as np

from calipers.core.record import record


class Grounds(enum.StrEnum):
    """What one side of a bracket rests on."""

    EXACT = "exact"
    CERTIFIED = "certified"
    COMPUTED = "computed"
    STATISTICAL = "statistical"
    NONE = "none"


_RANK = {grounds: rank for rank, grounds in enumerate(Grounds)}


class Result(enum.StrEnum):
    """How a run ended; the value is the sentence that is shown."""

    RUNNING = "the method has more to do"
    EXACT = "log Z is known exactly, up to the stated rounding error"
    GAP_MET = "the bracket is as narrow as was asked"
    TIME_LIMIT = "the time limit came first"
    INTERRUPTED = "interrupted; the bracket so far holds"
    EXHAUSTED = "the method has nothing further to try"
    UNCONVERGED = "the iteration stopped before it converged; its value is not to be trusted"
    REFUSED = "no method would take this model"
    MISLEADING = "the checks failed; what was estimated would mislead"


class Misleading(RuntimeError):
    """An estimate failed its checks: the message is the verdict, and `answer` carries what was found all the same."""

    def __init__(self, answer: "Answer"):
        verdict = answer.stats.get("verdict", str(answer.result))
        super().__init__(f"{verdict}; to see it all the same, ask with check=False, or read this error's `answer`")
        self.answer = answer


class Contradiction(ValueError):
    """Two sides that cannot both be true: one of them is wrong."""


@record
class Side:
    """One end of a bracket.

    **Arguments:** `value` in nats (±inf allowed); `grounds`; `delta`, the failure probability (0 unless statistical);
    `method`, the repr of the method that moved it; `witness`, what a certificate needs; `reason`, why it is infinite;
    `look`, the name of the random experiment that spent `delta`: sides of one look spend it once (None: its own).
    """

    value: float
    grounds: Grounds = eqx.field(static=True)
    delta: float = 0.0
    method: str = eqx.field(static=True, default="")
    witness: Any = eqx.field(static=True, default=None)
    reason: str = eqx.field(static=True, default="")
    look: Any = eqx.field(static=True, default=None)

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        return f"{self.value:.12g} ({self.grounds})"


_BESIDE = frozenset({"result", "plan", "stats", "belief", "certify"})  # of an answer: no part of its bracket

_unnamed = itertools.count()  # looks that nobody named are all different

NOTHING_BELOW = Side(-math.inf, Grounds.NONE, reason="no method has bounded this side yet")
NOTHING_ABOVE = Side(math.inf, Grounds.NONE, reason="no method has bounded this side yet")


@record
class Belief:
    """What a method believes: `marginals[i]` has shape (domains[i],), `factors[a]` the shape of table a.

    `grounds` is `exact` when they are the model's own marginals, else `none`: an estimate.
    """

    marginals: tuple[np.ndarray, ...]
    factors: tuple[np.ndarray, ...] | None = None
    grounds: Grounds = eqx.field(static=True, default=Grounds.NONE)


@record
class Answer:
    """A bracket `lower ≤ log Z ≤ upper`, with an estimate, beliefs, a result code and statistics.

    `lower` and `upper` are the tightest sides at failure probability `delta`; `deterministic` are the sides at δ = 0.
    `provable` are the tightest of those that carry a witness: what a certificate can claim.
    `spent` says what each look spent of δ; by default it is read off the sides. A bracket that is empty because a
    statistical side failed falls back to the deterministic one.
    `certify`, set by `calipers.log_z`, which knows the model, writes the certificate when it is asked for.
    """

    lower: Side = NOTHING_BELOW
    upper: Side = NOTHING_ABOVE
    value: float | None = None
    belief: Any = None  # a Belief for discrete models, a Cloud for continuous ones
    result: Result = eqx.field(static=True, default=Result.RUNNING)
    stats: dict[str, Any] = eqx.field(static=True, default_factory=dict)
    plan: Any = None
    deterministic: tuple[Side, Side] | None = None
    provable: tuple[Side, Side] | None = eqx.field(default=None, repr=False)
    delta: float = 0.0
    spent: Mapping[Any, float] | None = eqx.field(static=True, default=None, repr=False)
    certify: Callable[[], Any] | None = eqx.field(static=True, default=None, repr=False)

    def __post_init__(self) -> None:
        known = vars(self)
        if self.deterministic is None:
            known["deterministic"] = (
                self.lower if self.lower.grounds is not Grounds.STATISTICAL else NOTHING_BELOW,
                self.upper if self.upper.grounds is not Grounds.STATISTICAL else NOTHING_ABOVE,
            )
        if self.provable is None:
            lower, upper = self.deterministic  # type: ignore[misc]
            known["provable"] = (
                lower if lower.witness is not None else NOTHING_BELOW,
                upper if upper.witness is not None else NOTHING_ABOVE,
            )
        if self.spent is None:
            known["spent"] = self._looks()
        known["delta"] = min(math.fsum(self.spent.values()), 1.0)  # type: ignore[union-attr]
        if self.delta > 0.0 and self.lower.value > self.upper.value:
            known["lower"], known["upper"] = self.deterministic  # type: ignore[misc]  # δ was spent in vain
        if self.value is not None and not self.lower.value <= self.value <= self.upper.value:
            known["value"] = None  # the bracket refutes the estimate
        self._check()

    def _looks(self) -> dict[Any, float]:
        """What each look has spent, as the sides say."""
        sides = [(side.look, side.delta) for side in (self.lower, self.upper)]
        looks = [(None, self.delta)] if self.delta else sides
        return {("unnamed", next(_unnamed)) if look is None else look: d for look, d in looks if d}

    def _check(self) -> None:
        if math.isnan(self.lower.value) or math.isnan(self.upper.value):
            raise ValueError("a side of a bracket is NaN; a method must say ∓inf when it knows nothing")
        if self.lower.value > self.upper.value + 1e-9 * max(1.0, abs(self.upper.value)):
            raise Contradiction(
                f"the bracket is empty: lower {self.lower.value!r} by {self.lower.method} lies above "
                f"upper {self.upper.value!r} by {self.upper.method}; one of them is wrong"
            )

    @property
    def gap(self) -> float:
        """upper − lower in nats; 0 when both are the same infinity."""
        return 0.0 if self.lower.value == self.upper.value else self.upper.value - self.lower.value

    @property
    def certificate(self) -> Any:
        """The certificate of the sides, ready to `save`.

        **Raises:** `ValueError` when no side leaves a witness, or the answer does not know its model.
        """
        if self.certify is None:
            raise ValueError("this answer does not know its model; use Certificate.from_answer(answer, model)")
        return self.certify()

    @property
    def exact(self) -> bool:
        """Whether both sides rest on an exact algorithm."""
        return self.lower.grounds is Grounds.EXACT and self.upper.grounds is Grounds.EXACT

    @property
    def grounds(self) -> tuple[Grounds, Grounds]:
        """Grounds of the lower and the upper side."""
        return self.lower.grounds, self.upper.grounds

    def __and__(self, other: "Answer") -> "Answer":
        """Both are about the same log Z: keeps the better of each side; an exact value, or else the later estimate; the
        later belief and statistics.
        """
        looks = {**(self.spent or {}), **(other.spent or {})}
        return Answer(
            lower=_better(self.lower, other.lower, 1.0),
            upper=_better(self.upper, other.upper, -1.0),
            value=self.value if other.value is None or (self.exact and self.value is not None) else other.value,
            belief=self.belief if other.belief is None else other.belief,
            result=other.result,
            stats={**self.stats, **other.stats},
            plan=self.plan if other.plan is None else other.plan,
            deterministic=_both(self.deterministic, other.deterministic),
            provable=_both(self.provable, other.provable),
            spent={look: max((a.spent or {}).get(look, 0.0) for a in (self, other)) for look in looks},
        )

    def but(self, **changes: Any) -> "Answer":
        """The same bracket with another `result`, `plan`, `stats`, `belief` or `certify`: nothing is checked anew.

        **Raises:** `ValueError` for anything else: sides, values and δ are not changed without a look.
        """
        if not changes.keys() <= _BESIDE:
            raise ValueError(f"{sorted(changes.keys() - _BESIDE)} cannot be replaced; build another Answer, or use &")
        made = object.__new__(Answer)
        vars(made).update(vars(self), **changes)
        return made

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain numbers and strings, the part of the JSON document that it knows."""
        assert self.deterministic is not None
        low, high = self.deterministic
        return {
            "log_z": {
                "lower": number(self.lower.value),
                "upper": number(self.upper.value),
                "value": number(self.value),
            },
            "grounds": {"lower": str(self.lower.grounds), "upper": str(self.upper.grounds)},
            "methods": {"lower": self.lower.method, "upper": self.upper.method},
            "deterministic": {"lower": number(low.value), "upper": number(high.value)},
            "delta": self.delta,
            "gap": number(self.gap),
        }

    def __str__(self) -> str:
        bracket = show_bracket(self.lower.value, self.upper.value)
        return f"log Z {bracket} nats ({self.lower.grounds}, {self.upper.grounds})"


def _both(a: tuple[Side, Side] | None, b: tuple[Side, Side] | None) -> tuple[Side, Side]:
    """The tighter lower and the tighter upper side."""
    assert a is not None
    assert b is not None
    return _better(a[0], b[0], 1.0), _better(a[1], b[1], -1.0)


def _better(a: Side, b: Side, sign: float) -> Side:
    """The tighter of two sides; at equal value the one on better grounds.

    An exact value is known to within its stated error; a side of other grounds within it is tighter by rounding only.
    The exact side takes its place, and its value if that is certain: brackets do not widen.
    """
    if a.value == b.value:
        return b if _RANK[b.grounds] < _RANK[a.grounds] else a
    tight, loose = (b, a) if sign * b.value > sign * a.value else (a, b)
    if loose.grounds is not Grounds.EXACT or tight.grounds is Grounds.EXACT:
        return tight
    return loose if tight.delta else dataclasses.replace(loose, value=tight.value)


def outward(value: float, error: float, sign: float) -> float:
    """`value` moved by `error` and one unit in the last place, down (sign −1) or up (sign +1); infinities stay."""
    return value if math.isinf(value) else math.nextafter(value + sign * error, sign * math.inf)


def exact_sides(value: float, error: float, method: str, witness: Any = None) -> tuple[Side, Side]:
    """Both sides of an exact algorithm in float64: value ∓ error, rounded outward."""
    low = Side(outward(value, error, -1.0), Grounds.EXACT, method=method, witness=witness)
    return low, Side(outward(value, error, 1.0), Grounds.EXACT, method=method, witness=witness)


def number(x: float | None) -> float | str | None:
    """A JSON number; infinities become the strings "-inf" and "inf"."""
    if x is None or math.isnan(x):
        return None
    return float(x) if math.isfinite(x) else ("inf" if x > 0 else "-inf")


def show_bracket(lower: float, upper: float) -> str:
    """`= 6.41050` or `∈ [6.4105, 6.9441]`, rounded outward, only as many digits as the gap bears."""
    if lower == upper and math.isinf(lower):
        return f"= {lower}"
    gap = upper - lower
    digits = 4 if not math.isfinite(gap) else min(12, max(1, 2 - math.floor(math.log10(max(gap, 1e-13)))))
    scale = 10.0**digits
    low = math.floor(lower * scale) / scale if math.isfinite(lower) else lower
    high = math.ceil(upper * scale) / scale if math.isfinite(upper) else upper
    return f"∈ [{low:.{digits}f}, {high:.{digits}f}]"
