"""What a method is: a frozen bundle of hyper-parameters that plans, then yields ever better true answers.

`repr(method)` round-trips: it is the text that the command line takes. What a run found (width, sweeps, order) is in
`answer.stats`, never in the method.
"""

import abc
import dataclasses
import enum
import time
from collections.abc import Iterator
from typing import Any

import equinox as eqx

from calipers.core.answer import Answer
from calipers.core.record import record


class Proves(enum.Flag):
    """Which sides of log Z a method can prove; EQUAL means that it computes log Z itself."""

    NOTHING = 0
    LOWER = enum.auto()
    UPPER = enum.auto()
    BOTH = LOWER | UPPER
    EQUAL = LOWER | UPPER | 4


class Refusal(ValueError):
    """A method will not take this model under these limits; the message says why, with the estimate."""


@record
class Limits:
    """What a run may use, and what is wanted of it.

    **Arguments:** `deadline` on `time.monotonic`'s clock; `gap` in nats; `delta`; `memory` in bytes; `beliefs`, whether
    marginals are wanted beside log Z.
    """

    deadline: float = float("inf")
    gap: float = 0.0
    delta: float = 0.0
    memory: float = 8e9
    beliefs: bool = False

    def seconds_left(self) -> float:
        """Seconds until the deadline; may be negative or infinite."""
        return self.deadline - time.monotonic()


@record
class Plan:
    """What a method is about to do: printable, with the largest table, total work and memory stated beforehand."""

    text: str = eqx.field(static=True)
    structure: Any = None
    log2_size: float = 0.0  # log2 of the entries of the largest table
    cells: float = 0.0  # table entries touched by one pass
    bytes: float = 0.0
    limits: Limits = Limits()
    seconds: float = 0.0  # predicted, for one-shot methods

    def __str__(self) -> str:
        return self.text


class AbstractMethod(eqx.Module):
    """A way to bound or estimate log Z; a method says in its signatures which models it takes."""

    proves: eqx.AbstractClassVar[Proves]

    # Equinox makes a tree of `method.plan` each time that it is looked up, for the sake of jit; nobody jits a plan
    __getattribute__ = object.__getattribute__

    def __repr__(self) -> str:
        values = [(f.name, getattr(self, f.name), f.default) for f in dataclasses.fields(self)]
        given = [f"{name}={value!r}" for name, value, default in values if value is not default]
        return f"{type(self).__name__}({', '.join(given)})"

    @abc.abstractmethod
    def plan(self, model: Any, limits: Limits = Limits()) -> Plan:
        """Structure work only. Raises `Refusal`, with the estimate, when time or memory would not do."""

    @abc.abstractmethod
    def answers(self, model: Any, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Answers about log Z, each one true. A one-shot method yields once."""
