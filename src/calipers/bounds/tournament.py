"""Choosing an elimination order for mini-buckets: a tournament over ever larger tables.

An order that is good for exact elimination may be poor for mini-buckets, and one that is good at small tables poor at
large ones. All candidates play at a small i-bound, the better half again at a larger one, and so on to the last.
Candidates are greedy orders (min-fill and randomised mixtures) and, for models beyond exact reach, what the search for
exact elimination finds. **Cost** a few sweeps a candidate and size, within a share of the time.
"""

import time
from collections.abc import Generator, Iterator

import numpy as np

from calipers.bounds.sweeps import optimised, prepare
from calipers.core.method import Limits
from calipers.exact.bucket_tree import Run
from calipers.exact.ordering import adjacency, best_order, greedy_orders, price
from calipers.models.reduction import Reduced

_HARD = 22.0  # log2 of the cells from which it is worth searching for good orders
_SIZES = (4, 8, 12)  # i-bounds of the rounds
_SWEEPS = 3


def candidates(reduced: Reduced, count: int, limits: Limits) -> Iterator[np.ndarray]:
    """Up to `count` greedy orders, for a twentieth of the time; then one of a longer search if the model is hard."""
    graph = adjacency(reduced.model.n, reduced.model.scopes, reduced.model.sizes)
    seconds, least = max(limits.seconds_left(), 0.0), np.inf
    for order in greedy_orders(graph, count, np.random.default_rng(0), time.monotonic() + 0.05 * seconds):
        cost = price(graph, order)
        least = min(least, np.inf if cost is None else cost.log2_total)
        yield order
    if least > _HARD and count > 1:
        share = min(5.0, 0.05 * seconds)
        yield best_order(reduced.model.domains, list(reduced.model.scopes), seconds=share).order


def tournament(
    reduced: Reduced, orders: list[np.ndarray], largest: int | None, limits: Limits
) -> Generator[tuple[float, Run], None, np.ndarray]:
    """Plays the rounds, for a tenth of the time: yields the bound and the run of every match, returns the winner.

    **Arguments:** `largest`, the i-bound beyond which no round is played; None for no limit.
    """
    until = time.monotonic() + 0.1 * max(limits.seconds_left(), 0.0)
    left = orders
    for size in sorted({min(size, size if largest is None else largest) for size in _SIZES}):
        results: list[tuple[float, int]] = []
        for number, order in enumerate(left):
            if results and time.monotonic() > until:
                break
            run = prepare(reduced, order, size)
            results.append((optimised(run, _SWEEPS), number))
            yield results[-1][0], run
        left = [left[number] for _, number in sorted(results)][: max(1, len(left) // 2)]
        if len(left) == 1:
            break
    return left[0]


def best_of(reduced: Reduced, count: int, largest: int | None, limits: Limits) -> np.ndarray:
    """The winner among `candidates`."""
    matches = tournament(reduced, list(candidates(reduced, count, limits)), largest, limits)
    while True:
        try:
            next(matches)
        except StopIteration as stop:
            return stop.value
