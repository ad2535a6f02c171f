"""A magnet in the gauge in which all its couplings are ferromagnetic, fields as bonds to a ghost, and scaled by λ.

    log Z = log_scale + log ζ(1),   ζ(λ) = Σ_x e^{−λ H(x)},   H(x) = Σ 2β|J_ij| [s_i ≠ s_j] + Σ 2β|H_i| [s_i against H_i] ≥ 0

ζ(0) = 2ⁿ, and where all fields of a component agree ζ(∞) = 2^free, with `free` the components without a field. Flips of
spins bring couplings into this form iff no loop is frustrated (Harary 1953). **Cost** linear.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.transfer_matrix import as_magnet, recognition_error
from calipers.models.gauge import ferromagnetic_signs

ULP = 2.0**-53


class Bonds(NamedTuple):
    """What the kernels read: bonds between spins first, then ties to the ghost, whose number is n.

    `ptr`, `nbr`, `bond`: neighbours in compressed rows with the number of the bond; `tie` (n,), number of a site's tie
    or −1; `want` (n,), the sign of its field; `head`, `tail` (m,); `level` (m,), where a bond's cost stands in `costs`.
    """

    ptr: np.ndarray
    nbr: np.ndarray
    bond: np.ndarray
    tie: np.ndarray
    want: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    level: np.ndarray
    costs: np.ndarray


class Ferromagnet(NamedTuple):
    """A balanced magnet: `bonds`; `signs` (n,) of the gauge; `log_scale`; `free`, components without a field.

    `aligned`: fields of a component agree, so that the ground state is known and clusters see one ghost only; `error`
    is the rounding of `log_scale` and of H, nats.
    """

    bonds: Bonds
    signs: np.ndarray
    log_scale: float
    free: int
    aligned: bool
    error: float

    @property
    def n(self) -> int:
        """Number of spins."""
        return len(self.signs)

    @property
    def m(self) -> int:
        """Number of bonds and ties."""
        return len(self.bonds.head)

    @property
    def cost(self) -> np.ndarray:
        """What each bond or tie costs when it is not satisfied, (m,), nats at λ = 1."""
        return self.bonds.costs[self.bonds.level]

    def states(self, spins: np.ndarray) -> np.ndarray:
        """Spins of the gauge, shape (..., n), as states 0 and 1 of the model."""
        return (spins * self.signs < 0).astype(np.int8)


def ferromagnet(model: AbstractDiscreteModel) -> Ferromagnet:
    """The magnet in its gauge.

    **Raises:** `Refusal` when the model is no magnet, or a loop of it is frustrated.
    """
    magnet = as_magnet(model)
    signs = ferromagnetic_signs(magnet)
    if signs is None:
        raise Refusal(
            "a loop of this magnet is frustrated; perfect sampling is for ferromagnets and what flips of spins make of them"
        )
    n = magnet.n
    strength = magnet.beta * np.abs(magnet.couplings)
    kept = strength > 0.0
    edges = np.asarray(magnet.edges)[kept]
    fields = magnet.beta * np.asarray(magnet.fields) * signs
    count, part = _components(n, edges)
    flip = np.where(np.bincount(part, fields, count) < 0.0, -1.0, 1.0)[part]
    fields, signs = fields * flip, signs * flip
    tied = np.flatnonzero(fields)
    cost = 2.0 * np.concatenate([strength[kept], np.abs(fields[tied])])
    free = int((np.bincount(part, fields != 0.0, count) == 0.0).sum())
    scale = math.fsum(cost) / 2.0
    log_scale = scale - magnet.beta * magnet.offset
    error = recognition_error(model) + ULP * (8.0 * scale + 4.0 * abs(log_scale) + 4.0)
    bonds = _bonds(n, edges, tied, np.sign(fields), cost)
    return Ferromagnet(bonds, signs.astype(np.int8), log_scale, free, bool((fields >= 0.0).all()), error)


def _components(n: int, edges: np.ndarray) -> tuple[int, np.ndarray]:
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (n, n))
    count, part = connected_components(graph, directed=False)
    return int(count), part


def _bonds(n: int, edges: np.ndarray, tied: np.ndarray, want: np.ndarray, cost: np.ndarray) -> Bonds:
    head, tail = edges.T.ravel(), edges[:, ::-1].T.ravel()
    place = np.argsort(head, kind="stable")
    ptr = np.concatenate([[0], np.cumsum(np.bincount(head, minlength=n))]).astype(np.int64)
    tie = np.full(n, -1, np.int64)
    tie[tied] = len(edges) + np.arange(len(tied))
    costs, level = np.unique(cost, return_inverse=True)
    return Bonds(
        ptr, tail[place].astype(np.int64), np.tile(np.arange(len(edges)), 2)[place], tie, want.astype(np.int8),
        np.concatenate([edges[:, 0], tied]).astype(np.int64),
        np.concatenate([edges[:, 1], np.full(len(tied), n)]).astype(np.int64),
        level.ravel().astype(np.int64), costs,
    )  # fmt: skip
