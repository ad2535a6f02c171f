"""Weighted model counting: log Z of models whose tables are zeros and one other value, however wide they are.

    W(F) = Σ over both values of a variable of w(literal) · Π over components of what propagation leaves of W(component)

Each table's zeros become clauses (feasible.py), a table of one variable its literals' weights. A component that was
counted before is looked up, by its variables and its clauses, whole: no hash is trusted. **Proves** log Z, both sides,
with a stated rounding. **Cost** exponential in the worst case, but structure that no elimination order sees (unit
propagation, components that fall apart) is used. **Fails** by refusing soft tables, and by running out of time.
**Source** Sang et al., *Combining component caching and clause learning* (2004); Thurley, *sharpSAT* (2006).
"""

import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.core.answer import Answer, Result, exact_sides
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact import counting_kernels as kernels
from calipers.exact.counting_kernels import Formula
from calipers.exact.elimination import checkable
from calipers.exact.feasible import encode
from calipers.exact.kernels import ULP
from calipers.exact.probing import sharpened
from calipers.models.factor_graph import FactorGraph
from calipers.models.reduction import Reduced


class ModelCounting(AbstractMethod):
    """Exact log Z of hard constraints with weighted variables, by search with propagation, components and a cache.

    **Proves** both sides exactly. **Raises** `Refusal` when a table over several variables has two positive values,
    or time runs out.
    """

    proves: ClassVar[Proves] = Proves.EQUAL

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model and sees that it is one of constraints."""
        reduced = sharpened(model, limits, backbone=True)
        soft = next((a for a, t in enumerate(reduced.model.tables) if t.ndim > 1 and not _flat(t)), None)
        if soft is not None:
            raise Refusal(f"model counting takes tables of zeros and one other value; factor {soft} has more")
        return Plan(f"Count the models of {len(reduced.model.scopes)} constraints.", reduced, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One exact answer."""
        reduced: Reduced = plan.structure
        value, error, stats = -math.inf, 0.0, {}
        if reduced.log_constant > -math.inf:
            counter = Counter(reduced.model, 0.3 * plan.limits.memory, plan.limits.deadline)
            value = counter.count() + reduced.log_constant
            stats = {"decisions": counter.decisions, "cached": len(counter.cache)}
            if value > -math.inf:
                error = counter.error + reduced.error + ULP * abs(value)
        sides = exact_sides(value, error, repr(self), lambda: checkable(model))
        yield Answer(*sides, value=value, result=Result.EXACT, stats=stats, plan=plan)


def _flat(table: np.ndarray) -> bool:
    """Whether all finite entries are the same."""
    finite = table[np.isfinite(table)]
    return finite.size == 0 or bool((finite == finite[0]).all())


class Counter:
    """The count of a model's formula; `decisions` and `cache` tell what it took, `error` bounds the rounding."""

    def __init__(self, model: FactorGraph, memory: float, deadline: float = math.inf):
        self.deadline = deadline
        clauses, first = encode(model)
        self.constant, weights = _weights(model, first)
        self.n = len(weights)
        self.formula = _formula(clauses, self.n)
        self.weights = weights.ravel()
        with np.errstate(divide="ignore"):
            self.free = np.logaddexp(weights[:, 0], weights[:, 1])
        self.cache: dict[bytes, float] = {}
        self.decisions, self.largest, self._stamp = 0, 1.0, 0
        self._room, self._memory = memory, memory
        self._seen_var, self._seen_clause = np.zeros(self.n, np.int64), np.zeros(max(len(clauses), 1), np.int64)
        self._out = np.empty(self.n + len(clauses) + 1, np.int32)
        self._ends = np.empty(2 * self.n + 2, np.int64)
        self._score = np.zeros(self.n)
        self._length = 0

    @property
    def error(self) -> float:
        """Every variable is decided once on the way to a sum, and each step rounds a log of at most `largest`."""
        return 4.0 * ULP * (self.n + 2.0) * (self.largest + abs(self.constant) + 4.0)

    def count(self) -> float:
        """log of the weighted count of all models."""
        f = self.formula
        for c in range(len(f.clause_ptr) - 1):
            if f.clause_ptr[c + 1] - f.clause_ptr[c] == 1:
                self._length = kernels.assume(f, int(f.clause[f.clause_ptr[c]]), self._length)
                if self._length < 0:
                    return -math.inf
        total, waiting = self._split(np.arange(self.n, dtype=np.int32), 0)
        return self.constant + total + sum(self._component(*part) for part in waiting)

    def _split(self, variables: np.ndarray, since: int) -> tuple[float, list[tuple[bytes, np.ndarray]]]:
        """The log weight of literals assigned since then and of free variables; and the components that are left."""
        self._stamp += 1
        count, free = kernels.parts(
            self.formula, variables, self._seen_var, self._seen_clause, self._stamp, self._out, self._ends
        )
        total = float(self.weights[self.formula.trail[since : self._length]].sum()) + float(
            self.free[self._out[:free]].sum()
        )
        found, start = [], free
        for k in range(count):
            middle, end = int(self._ends[2 * k]), int(self._ends[2 * k + 1])
            part = self._out[start:end].copy()
            key = (middle - start).to_bytes(4, "little") + part.tobytes()
            found.append((key, part[: middle - start]))
            start = end
        return total, found

    def _component(self, key: bytes, variables: np.ndarray) -> float:
        """log W of one component: looked up, or summed over both values of a variable, with its own stack of work."""
        stack = [_Frame(key, variables)]
        result = 0.0
        if key in self.cache:
            return self.cache[key]
        self._begin(stack[0])
        while stack:
            if time.monotonic() > self.deadline:
                raise Refusal(f"the count did not end in time, after {self.decisions} decisions")
            frame = stack[-1]
            if frame.waiting:
                part_key, part = frame.waiting[-1]
                known = self.cache.get(part_key)
                if known is None:
                    child = _Frame(part_key, part)
                    self._begin(child)
                    stack.append(child)
                    continue
                frame.waiting.pop()
                frame.branch += known
                if frame.branch == -math.inf:
                    frame.waiting.clear()
                if frame.waiting:
                    continue
            self._end_branch(frame)
            if frame.values:
                self._next_value(frame)
                continue
            result = frame.total
            self.largest = max(self.largest, abs(result) if math.isfinite(result) else 0.0)
            self._remember(frame.key, result)
            stack.pop()
        return result

    def _begin(self, frame: "_Frame") -> None:
        """Chooses a variable of the component and enters its first value."""
        frame.variable = int(kernels.choose(self.formula, frame.variables, self._score))
        frame.values = [0, 1]
        frame.back_to = self._length
        self._next_value(frame)

    def _next_value(self, frame: "_Frame") -> None:
        """Assigns the next value, propagates, and splits what is left; a contradiction weighs nothing."""
        self.decisions += 1
        x = frame.values.pop()
        length = int(kernels.assume(self.formula, 2 * frame.variable + x, frame.back_to))
        self._length = length if length >= 0 else -length - 1
        if length < 0:
            frame.branch, frame.waiting = -math.inf, []
            self._score[frame.variable] += 1.0
            return
        frame.branch, frame.waiting = self._split(frame.variables, frame.back_to)
        if frame.branch == -math.inf:
            frame.waiting = []

    def _end_branch(self, frame: "_Frame") -> None:
        """Adds the finished value's weight and takes its assignments back."""
        kernels.undo(self.formula, self._length, frame.back_to)
        self._length = frame.back_to
        frame.total = _log_add(frame.total, frame.branch)

    def _remember(self, key: bytes, value: float) -> None:
        """Keeps a count; when memory is full, forgets the older half."""
        self.cache[key] = value
        self._room -= len(key) + 150.0
        if self._room < 0.0:
            for old in list(self.cache)[: len(self.cache) // 2]:
                self._room += len(old) + 150.0
                del self.cache[old]


class _Frame:
    """One component being summed: its variable, values to come, the branch at work and the total so far."""

    __slots__ = ("back_to", "branch", "key", "total", "values", "variable", "variables", "waiting")

    def __init__(self, key: bytes, variables: np.ndarray):
        self.key, self.variables = key, variables
        self.total, self.branch = -math.inf, -math.inf
        self.waiting: list[tuple[bytes, np.ndarray]] = []
        self.values: list[int] = []
        self.variable, self.back_to = -1, 0


def _log_add(a: float, b: float) -> float:
    top = max(a, b)
    return top if top == -math.inf else top + math.log1p(math.exp(min(a, b) - top))


def _weights(model: FactorGraph, first: np.ndarray) -> tuple[float, np.ndarray]:
    """The constant of all flat tables, and the log weights of each SAT variable's two literals, shape (V, 2)."""
    literals = int(first[-1]) + (1 if model.sizes[-1] == 2 else model.sizes[-1]) - 1 if model.n else 0
    weights, constant = np.zeros((literals, 2)), 0.0
    for scope, table in zip(model.scopes, model.tables, strict=True):
        finite = np.where(np.isneginf(table), 0.0, table)
        if len(scope) != 1:
            constant += float(finite[np.isfinite(table)].max(initial=-math.inf)) if table.size else 0.0
        elif model.sizes[scope[0]] == 2:
            weights[first[scope[0]] - 1] += finite
        else:
            start = int(first[scope[0]]) - 1
            weights[start : start + len(finite), 1] += finite
    return constant, weights


def _formula(clauses: list[list[int]], n: int) -> Formula:
    """Flat arrays of signed clauses over SAT variables 1 … n."""
    coded = [sorted({2 * (abs(x) - 1) + (x > 0) for x in clause}) for clause in clauses]
    owner = np.repeat(np.arange(len(coded)), [len(c) for c in coded]).astype(np.int32)
    flat = np.array([x for clause in coded for x in clause], np.int32)
    of = owner[np.argsort(flat, kind="stable")] if len(flat) else owner
    ends = lambda lengths: np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)  # noqa: E731
    return Formula(
        ends([len(c) for c in coded]),
        flat,
        ends(np.bincount(flat, minlength=2 * n)),
        of,
        np.zeros(len(coded), np.int32),
        np.zeros(len(coded), np.int32),
        np.full(n, -1, np.int8),
        np.empty(n + 1, np.int32),
    )
