"""Tables of non-negative Arb balls, in the linear domain: y = exp(θ), and an exact 0 where θ = −∞.

A table is a scope (variables) and a flat list of balls in C order (last variable fastest). Nothing is ever subtracted,
so relative errors only add up; Arb's exponents are unbounded, so nothing overflows. Cost: about 0.3 µs a cell and step.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from math import prod
from operator import add, itemgetter, mul
from typing import NamedTuple, TypeVar

import numpy as np
from flint import arb

from calipers_check.errors import Reject

T = TypeVar("T")
Picker = Callable[[Sequence], Sequence]
ZERO, ONE = arb(0), arb(1)
MAX_CELLS = 2**24  # entries of one table that the checker is willing to hold (about 2 GB)
SMALL = 4096  # entries of a table up to which it is worth remembering how tables are multiplied
MAX_WORK = 2**32  # entries of all tables together, unless the caller allows more (an hour or two)


class Work:
    """How many table entries may still be computed: a certificate must not keep the checker busy for days."""

    left = MAX_WORK


def spend(entries: int) -> None:
    """Counts entries before they are computed."""
    Work.left -= entries
    if Work.left < 0:
        raise Reject("the certificate asks for more table entries in all than this check allows (--work)")


class Table(NamedTuple):
    """Balls over the joint states of `scope`."""

    scope: tuple[int, ...]
    cells: list[arb]


def index(sizes: tuple[int, ...], strides: tuple[int, ...]) -> list[int]:
    """Places, in a table with these strides, of every joint state of variables with these sizes, in C order."""
    return outer_sum([stride * np.arange(size) for size, stride in zip(sizes, strides, strict=True)]).tolist()


def outer_sum(steps: Iterable[np.ndarray]) -> np.ndarray:
    """Sums of one entry of each array, flat, the last array's entry changing fastest."""
    place = np.zeros(1, np.int64)
    for step in steps:
        place = (place[:, None] + step).ravel()
    return place


def strides(scope: Sequence[int], sizes: Sequence[int]) -> dict[int, int]:
    """Steps in the flat list for one step of each variable."""
    steps, step = {}, 1
    for v in reversed(scope):
        steps[v], step = step, step * sizes[v]
    return steps


def check_cells(scope: Iterable[int], sizes: Sequence[int]) -> int:
    """Number of joint states, refused before anything is allocated when it is too large."""
    cells = 1
    for v in scope:
        cells *= sizes[v]
        if cells > MAX_CELLS:
            raise Reject(f"a table needs more than 2^24 entries, which is more than this checker holds (variable {v})")
    spend(cells)
    return cells


def picker(held: tuple[int, ...], scope: tuple[int, ...], sizes: Sequence[int]) -> Picker:
    """A function that repeats and reorders cells over `held` to cells over `scope`, which contains it."""
    if held == scope:
        return _itself
    steps = strides(held, sizes)
    places = index(tuple([sizes[v] for v in scope]), tuple([steps.get(v, 0) for v in scope]))
    return itemgetter(*places) if len(places) > 1 else _itself


def _itself(cells: Sequence) -> Sequence:
    return cells


def expand(held: tuple[int, ...], cells: list[T], scope: tuple[int, ...], sizes: Sequence[int]) -> list[T]:
    """Cells over `held` repeated and reordered over `scope`, which contains it."""
    if held == scope:
        return cells
    place = {v: i for i, v in enumerate(scope)}
    wide = tuple([sizes[v] for v in scope])
    pick = _pick if prod(wide) <= SMALL else _pick.__wrapped__
    return list(pick(tuple([place[v] for v in held]), wide)(cells))


@lru_cache(maxsize=4096)
def _pick(held: tuple[int, ...], sizes: tuple[int, ...]) -> Picker:
    return picker(held, tuple(range(len(sizes))), sizes)


def product(tables: Sequence[Table], scope: tuple[int, ...], sizes: Sequence[int]) -> list[arb]:
    """Π of the tables over `scope`; small ones first, so that few products run over all of it."""
    cells = check_cells(scope, sizes)
    place = {v: i for i, v in enumerate(scope)}
    held = tuple([tuple([place[v] for v in table.scope]) for table in tables])
    plan = (_plan if cells <= SMALL else _plan.__wrapped__)(tuple([sizes[v] for v in scope]), held)
    joint: Sequence[arb] = [ONE]
    for k, pick, pick_theirs in plan:
        if pick is None:
            joint = tables[k].cells
        elif pick_theirs is None:
            joint = pick(joint)
        else:
            joint = list(map(mul, pick(joint), pick_theirs(tables[k].cells)))
    return list(joint)


@lru_cache(maxsize=4096)
def _plan(sizes: tuple[int, ...], held: tuple[tuple[int, ...], ...]) -> list[tuple[int, Picker | None, Picker | None]]:
    """How to multiply tables over `held` places of a scope: which comes next, and how both spread over their union."""
    steps: list[tuple[int, Picker | None, Picker | None]] = []
    have: tuple[int, ...] = ()
    for k in sorted(range(len(held)), key=lambda k: prod(sizes[v] for v in held[k])):
        union = tuple(v for v in range(len(sizes)) if v in have or v in held[k]) if steps else held[k]
        spread = (picker(have, union, sizes), picker(held[k], union, sizes)) if steps else (None, None)
        steps.append((k, *spread))
        have = union
    every = tuple(range(len(sizes)))
    return steps if have == every else [*steps, (-1, picker(have, every, sizes), None)]


def sum_last(cells: list[arb], size: int) -> list[arb]:
    """Sums out the last variable of a scope."""
    total = cells[::size]
    for state in range(1, size):
        total = list(map(add, total, cells[state::size]))
    return total


def marginal(table: Table, scope: tuple[int, ...], sizes: Sequence[int]) -> Table:
    """Sums out every variable that is not in `scope`."""
    if table.scope == scope:
        return table
    rest = tuple([v for v in table.scope if v not in scope])
    cells = expand(*table, scope + rest, sizes)
    return Table(scope, sum_last(cells, prod(sizes[v] for v in rest)))


def power(cells: list[arb], exponent: arb) -> list[arb]:
    """Each cell to a positive power; zeros stay exact zeros."""
    return [x if x.is_zero() else x**exponent for x in cells]


def from_logs(values: list[float]) -> list[arb]:
    """exp of float64 logs; equal values are computed once. Fails on NaN and +∞."""
    known: dict[float, arb] = {}
    return list(_from_logs(values, known))


def _from_logs(values: list[float], known: dict[float, arb]) -> Iterator[arb]:
    for value in values:
        ball = known.get(value)
        if ball is None:
            ball = known[value] = positive(arb(value).exp()) if value != float("-inf") else ZERO
        yield ball


def positive(ball: arb) -> arb:
    """The ball itself; refused when its sign or finiteness is not certain."""
    if not (ball > 0 and ball.is_finite()):
        raise Reject(f"a table entry is not a usable weight in interval arithmetic: {ball.str(6)}")
    return ball


def log(ball: arb) -> arb | float:
    """log of a non-negative ball, −inf for an exact zero."""
    return float("-inf") if ball.is_zero() else ball.log()
