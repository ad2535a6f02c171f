"""Decoding a witness: the producer's free choices. Everything here may be hostile; nothing here is a bound yet."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from calipers_check.archive import cuts, floats, ints, ragged
from calipers_check.errors import Reject
from calipers_check.model import Model
from calipers_check.restricted import Restricted, cut
from calipers_check.tables import check_cells


class Extra(NamedTuple):
    """A log table added to a bucket or a block, over variables that keep several states; flat, C order."""

    scope: tuple[int, ...]
    values: list[float]


class Bucket(NamedTuple):
    """One mini-bucket: its variable, weight, whole model factors, extra tables, and who receives its message."""

    variable: int
    weight: float
    factors: list[int]
    extra: list[Extra]
    parent: int


class Block(NamedTuple):
    """One part of a trial: its variables in elimination order, and extra tables inside it."""

    order: list[int]
    extra: list[Extra]


def read_buckets(arrays: dict[str, np.ndarray], model: Model) -> tuple[Restricted, list[Bucket]]:
    """The restriction and the buckets of a decomposition."""
    restricted = Restricted(model, ragged(arrays, "kept"))
    variables, parents = ints(arrays, "variable").tolist(), ints(arrays, "parent").tolist()
    weights, factors = floats(arrays, "weight").tolist(), ragged(arrays, "factors")
    extras = _extras(arrays, restricted)
    if not len(variables) == len(parents) == len(weights) == len(factors) == len(extras):
        raise Reject("the witness's arrays describe different numbers of buckets")
    if any(not 0 <= v < len(model.sizes) for v in variables):
        raise Reject("a bucket eliminates a variable that the model does not have")
    if any(not 0 <= a < len(model.scopes) for listed in factors for a in listed):
        raise Reject("a bucket lists a factor that the model does not have")
    return restricted, [Bucket(*row) for row in zip(variables, weights, factors, extras, parents, strict=True)]


def read_blocks(arrays: dict[str, np.ndarray], model: Model) -> tuple[Restricted, list[Block]]:
    """The restriction and the blocks of a tangent's trial."""
    restricted = Restricted(model, ragged(arrays, "kept"))
    orders, extras = ragged(arrays, "order"), _extras(arrays, restricted)
    if len(orders) != len(extras):
        raise Reject("the witness's arrays describe different numbers of blocks")
    if any(not 0 <= v < len(model.sizes) for order in orders for v in order):
        raise Reject("a block holds a variable that the model does not have")
    return restricted, [Block(*row) for row in zip(orders, extras, strict=True)]


def read_links(arrays: dict[str, np.ndarray], restricted: Restricted) -> dict[int, list[float]]:
    """The covariances of factors across blocks, 2^k numbers for each factor in `link`."""
    factors, values, found = ints(arrays, "link").tolist(), floats(arrays, "covariance"), {}
    places = cuts(arrays, "covariance_start", len(values))
    if len(places) != len(factors) + 1 or not np.isfinite(values).all():
        raise Reject("the witness has not one covariance table a link, or one that is not finite")
    for a, (start, end) in zip(factors, pairwise(places), strict=True):
        if not 0 <= a < len(restricted.model.scopes) or a in found:
            raise Reject(f"a link names factor {a}, which the model does not have or which has a link already")
        if check_cells(restricted.scope(a), restricted.sizes) != end - start:
            raise Reject(f"the covariance of factor {a} does not have one number for each state of its variables")
        found[a] = values[start:end].tolist()
    return found


def narrow(blocks: Iterable[Block], restricted: Restricted, path: Mapping[int, int]) -> list[Block]:
    """Blocks whose extra tables are cut down to the states that agree with `path`."""
    if not path:
        return list(blocks)
    return [
        Block(block.order, [Extra(*cut(e.scope, e.values, restricted, path)) for e in block.extra]) for block in blocks
    ]


def _extras(arrays: dict[str, np.ndarray], restricted: Restricted) -> list[list[Extra]]:
    """Extra tables of each bucket or block: `extra_start` cuts the list of `scopes`; `values` holds their tables."""
    values, place, tables, sizes = floats(arrays, "values"), 0, [], restricted.sizes
    for scope in ragged(arrays, "scopes"):
        if len(set(scope)) != len(scope) or any(not 0 <= v < len(sizes) for v in scope):
            raise Reject(f"an extra table has a scope {scope[:8]} with a repeated or unknown variable")
        count = prod(sizes[v] for v in scope)
        if place + count > len(values):
            raise Reject("the witness's extra tables are shorter than their scopes")
        tables.append(Extra(tuple(v for v in scope if sizes[v] > 1), values[place : place + count].tolist()))
        place += count
    if place != len(values):
        raise Reject("the witness's extra tables are longer than their scopes")
    if np.isnan(values).any() or np.isposinf(values).any():
        raise Reject("an extra table holds NaN or +infinity")
    return [tables[a:b] for a, b in pairwise(cuts(arrays, "extra_start", len(tables)))]
