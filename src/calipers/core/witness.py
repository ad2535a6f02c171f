"""What a certificate needs from a bound: the free choices that were made, never a derived value.

Both kinds speak of the model's own factors by number, after every variable has been restricted to `states` (evidence,
propagated zeros, clamping). What a witness does not say, a checker recomputes. docs/theorems.md proves both.
"""

from typing import NamedTuple

import numpy as np


class Bucket(NamedTuple):
    """One mini-bucket: multiply everything in it, then eliminate `variable` by a power sum with `weight`.

    `factors` are numbers of model factors taken whole; `extra` are pairs (scope, log table) added to it; `parent` is
    the place, later in the list, of the bucket that receives the message; −1 if the message is a constant.
    """

    variable: int
    weight: float
    factors: tuple[int, ...]
    extra: tuple[tuple[tuple[int, ...], np.ndarray], ...]
    parent: int


class Decomposition(NamedTuple):
    """An upper bound: weighted mini-bucket elimination (one whole bucket a variable: exact elimination).

    `states[v]` are the kept states of variable v, ascending; states left out must be impossible by propagation of
    zeros and evidence. `buckets` stand in elimination order, those of one variable together.
    """

    states: tuple[np.ndarray, ...]
    buckets: tuple[Bucket, ...]


class Block(NamedTuple):
    """One independent part of a trial: its variables in elimination order, and extra log tables inside it."""

    order: tuple[int, ...]
    extra: tuple[tuple[tuple[int, ...], np.ndarray], ...]


class Tangent(NamedTuple):
    """A lower bound: the GBF bound of a trial that is independent between blocks.

    The trial of block b is ∝ exp(Σ of the model's factors inside b + Σ extra tables), on `states` (any restriction of
    the domains is allowed: it only loses mass). Variables with one kept state belong to no block.
    """

    states: tuple[np.ndarray, ...]
    blocks: tuple[Block, ...]


Witness = Decomposition | Tangent
