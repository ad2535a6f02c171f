"""A magnet as its samplers see it: neighbours in compressed rows, βJ and βH, and the order in which sites are visited.

Sites of one colour of a greedy colouring have no bond between them, so that "coloured" visits them as if at once.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.core.model import AbstractDiscreteModel
from calipers.exact.transfer_matrix import as_magnet

ORDERS = ("sequential", "coloured", "random")


class Neighbours(NamedTuple):
    """The wiring of a magnet; `order` is empty when sites are visited at random."""

    ptr: np.ndarray  # (n+1,)
    nbr: np.ndarray  # (2e,)
    coupling: np.ndarray  # (2e,) βJ
    field: np.ndarray  # (n,) βH
    order: np.ndarray  # (n,) or (0,)


def neighbours(model: AbstractDiscreteModel, order: str = "sequential") -> Neighbours:
    """The wiring of a magnet, or of a factor graph that is one. Raises `Refusal` for other models."""
    magnet = as_magnet(model)
    n = magnet.n
    head, tail = magnet.edges.T.ravel(), magnet.edges[:, ::-1].T.ravel()
    place = np.argsort(head, kind="stable")
    ptr = np.concatenate([[0], np.cumsum(np.bincount(head, minlength=n))]).astype(np.int64)
    nbr = np.ascontiguousarray(tail[place])
    coupling = np.tile(magnet.beta * magnet.couplings, 2)[place]
    return Neighbours(ptr, nbr, coupling, magnet.beta * np.asarray(magnet.fields), visiting_order(ptr, nbr, order))


def visiting_order(ptr: np.ndarray, nbr: np.ndarray, order: str) -> np.ndarray:
    """Sites in the order of a sweep, (n,); (0,) for a random one."""
    if order == "random":
        return np.zeros(0, np.int64)
    if order == "sequential":
        return np.arange(len(ptr) - 1)
    return np.argsort(colours(ptr, nbr), kind="stable")


def check_order(order: str) -> None:
    """Raises `ValueError` for an order that is not one of `ORDERS`."""
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")


@njit(cache=True, nogil=True)
def colours(ptr, nbr):
    """A greedy colouring, (n,): each site the least colour that none of its neighbours has."""
    n = len(ptr) - 1
    colour = np.full(n, -1, np.int64)
    seen = np.full(n + 1, -1, np.int64)
    for i in range(n):
        for e in range(ptr[i], ptr[i + 1]):
            if colour[nbr[e]] >= 0:
                seen[colour[nbr[e]]] = i
        k = 0
        while seen[k] == i:
            k += 1
        colour[i] = k
    return colour
