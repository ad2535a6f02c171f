"""A model as a weighted formula: clauses for the zeros of its tables, literals with weights for the rest.

    Σ_x Π_a f_a(x) = e^constant · Σ over solutions of the clauses of Π over true literals of e^weight

A table of one variable weighs that variable's literals. In another table the least positive entry becomes a constant,
and each set ("cube") of entries of one value w times that gets a variable of its own, true only inside the cube, of
weight w − 1 ≥ 0: false or true, it adds up to 1 + (w − 1) = w inside, and it must be false outside, where it adds 1.
**Proves** equality, up to rounding. **Cost** a clause for each cube of zeros, one for each literal of the others.
**Source** Chavira & Darwiche, *On probabilistic inference by weighted model counting* (2008).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from calipers.exact.feasible import encode
from calipers.models.factor_graph import FactorGraph


class WeightedFormula(NamedTuple):
    """Coded clauses (2v, 2v + 1), log weights (V, 2) of the literals false and true, a log constant.

    `chosen` marks the variables to branch on: those of a cube follow from the others. `error` bounds the rounding.
    """

    clauses: list[list[int]]
    weights: np.ndarray
    constant: float
    chosen: np.ndarray
    error: float


def weighted_formula(model: FactorGraph) -> WeightedFormula:
    """The formula of a model; β = 1 and no evidence, as a reduced model has them."""
    signed, first = encode(model)
    count = int(first[-1]) + (1 if model.sizes[-1] == 2 else model.sizes[-1]) - 1 if model.n else 0
    clauses = [sorted({2 * (abs(x) - 1) + (x > 0) for x in clause}) for clause in signed]
    weights = np.zeros((count, 2))
    extra: list[float] = []
    constant: list[float] = []
    for scope, table in zip(model.scopes, model.tables, strict=True):
        if len(scope) == 1:
            _weigh(weights, model.sizes[scope[0]], int(first[scope[0]]) - 1, table)
            continue
        finite = table[np.isfinite(table)]
        low = float(finite.min(initial=math.inf))
        constant.append(low if finite.size else -math.inf)
        for value in np.unique(finite[finite > low]).tolist():
            weight = value - low + math.log1p(-math.exp(low - value))  # log(e^(value − low) − 1)
            for cube in _cubes(table == value):
                new = 2 * (count + len(extra))
                extra.append(weight)
                clauses += [[new, _is(model.sizes[scope[p]], int(first[scope[p]]) - 1, x)] for p, x in cube]
    scale = math.fsum(abs(c) for c in constant if math.isfinite(c)) + float(np.abs(weights[np.isfinite(weights)]).sum())
    extra_weights = np.array([(0.0, w) for w in extra]).reshape(-1, 2)
    return WeightedFormula(
        clauses,
        np.concatenate([weights, extra_weights]),
        math.fsum(constant) if all(map(math.isfinite, constant)) else -math.inf,
        np.arange(count + len(extra)) < count,
        2.0**-50 * (scale + float(np.abs(extra_weights).sum())),
    )


def _weigh(weights: np.ndarray, size: int, first: int, table: np.ndarray) -> None:
    """Adds a table of one variable, whose literals begin with `first`; what is impossible is in the clauses."""
    finite = np.where(np.isneginf(table), 0.0, table)
    if size == 2:
        weights[first] += finite
    else:
        weights[first : first + size, 1] += finite


def _is(size: int, first: int, state: int) -> int:
    """The coded literal that says: this variable is in this state."""
    return 2 * first + state if size == 2 else 2 * (first + state) + 1


def _cubes(mask: np.ndarray) -> Iterator[list[tuple[int, int]]]:
    """Disjoint cubes, as pairs (position, state), that together are the True entries of a mask."""
    left = np.array(mask)
    while True:
        place = np.unravel_index(int(left.argmax()), left.shape)
        if not left[place]:
            return
        cube: list[int | slice] = [int(x) for x in place]
        for i in range(left.ndim):
            cube[i], kept = slice(None), cube[i]
            if not left[tuple(cube)].all():
                cube[i] = kept
        left[tuple(cube)] = False
        yield [(p, x) for p, x in enumerate(cube) if not isinstance(x, slice)]
