"""A magnet in the gauge in which all its couplings are ferromagnetic, fields as bonds to a ghost, and scaled by λ.

    log Z = log_scale + log ζ(1),   ζ(λ) = Σ_x e^{−G(x) − λ H(x)},   log_scale = Σ β|J_ij| + Σ β|H_i| − β offset

G and H add up 2β|J_ij| for every bond with s_i ≠ s_j and 2β|H_i| for every spin against its field: G over what stays,
H over what λ scales, which is everything unless told otherwise. Then ζ(0) = 2ⁿ, and where fields of a component agree
ζ(∞) = 2^free, with `free` the components without a field. Flips of spins bring couplings into this form iff no loop is
frustrated (Harary 1953). **Cost** linear.
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
from calipers.models.ising import Ising
from calipers.models.recognition import on_grid

ULP = 2.0**-53


class Bonds(NamedTuple):
    """What the kernels read: bonds between spins first, then ties to the ghost, whose number is n.

    `ptr`, `nbr`, `bond`: neighbours in compressed rows with the number of the bond; `tie` (n,), number of a site's tie
    or −1; `want` (n,), the sign of its field; `head`, `tail` (m,); `level` (m,), where the cost of a bond that is not
    satisfied stands: `base` + λ·`costs`, one of which is 0.
    """

    ptr: np.ndarray
    nbr: np.ndarray
    bond: np.ndarray
    tie: np.ndarray
    want: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    level: np.ndarray
    base: np.ndarray
    costs: np.ndarray

    def at(self, scale: float) -> np.ndarray:
        """The cost of each level at λ = `scale`, which may be ∞; nats."""
        return self.base + np.multiply(self.costs, scale, where=self.costs > 0.0, out=np.zeros(len(self.costs)))


class Ferromagnet(NamedTuple):
    """A balanced magnet: `ising`, the same in its gauge at β = 1; its `bonds`; `signs` (n,) of the gauge; `log_scale`.

    `free`: components without a field; `aligned`: the fields of a component agree, so that the ground state is known
    and clusters see one ghost only; `error`: rounding of `log_scale` and of G + H, nats.
    """

    ising: Ising
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
        return self.bonds.at(1.0)[self.bonds.level]

    def states(self, spins: np.ndarray) -> np.ndarray:
        """Spins of the gauge, shape (..., n), as states 0 and 1 of the model."""
        return (spins * self.signs < 0).astype(np.int8)

    def scaling(self, scaled: np.ndarray) -> "Ferromagnet":
        """The same magnet, where λ scales only these bonds, (m,) booleans."""
        return self._replace(bonds=_levels(self.bonds, self.cost, scaled))


def ferromagnet(model: AbstractDiscreteModel) -> Ferromagnet:
    """The magnet in its gauge; bonds of no strength are left out.

    **Raises:** `Refusal` when the model is no magnet, or a loop of it is frustrated.
    """
    magnet = on_grid(as_magnet(model))
    signs = ferromagnetic_signs(magnet)
    if signs is None:
        raise Refusal(
            "this magnet is frustrated; perfect sampling is for ferromagnets, and what flips of spins make of them"
        )
    strength = magnet.beta * np.abs(np.asarray(magnet.couplings))
    edges, strength = np.asarray(magnet.edges)[strength > 0.0], strength[strength > 0.0]
    fields = magnet.beta * np.asarray(magnet.fields) * signs
    count, part = components(magnet.n, edges)
    flip = np.where(np.bincount(part, fields, count) < 0.0, -1.0, 1.0)[part]
    fields, signs = fields * flip, signs * flip
    turned = Ising.from_arrays(edges, strength, fields, lattice=magnet.lattice)
    scale = math.fsum(strength) + math.fsum(np.abs(fields))
    log_scale = scale - magnet.beta * magnet.offset
    error = recognition_error(model) + ULP * (8.0 * scale + 4.0 * abs(magnet.beta * magnet.offset) + 4.0)
    free = int((np.bincount(part, fields != 0.0, count) == 0.0).sum())
    aligned = bool((fields >= 0.0).all())
    return Ferromagnet(turned, _bonds(turned), signs.astype(np.int8), log_scale, free, aligned, error)


def components(n: int, edges: np.ndarray) -> tuple[int, np.ndarray]:
    """How many components n sites have, and the number of that of each, (n,)."""
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (n, n))
    count, part = connected_components(graph, directed=False)
    return int(count), part


def _bonds(magnet: Ising) -> Bonds:
    n, edges, fields = magnet.n, np.asarray(magnet.edges), np.asarray(magnet.fields)
    tied = np.flatnonzero(fields)
    head, tail = edges.T.ravel(), edges[:, ::-1].T.ravel()
    place = np.argsort(head, kind="stable")
    ptr = np.concatenate([[0], np.cumsum(np.bincount(head, minlength=n))]).astype(np.int64)
    tie = np.full(n, -1, np.int64)
    tie[tied] = len(edges) + np.arange(len(tied))
    number = np.tile(np.arange(len(edges)), 2)[place]
    ends = np.concatenate([edges[:, 0], tied]), np.concatenate([edges[:, 1], np.full(len(tied), n)])
    none = np.zeros(0, np.int64)
    bonds = Bonds(ptr, tail[place], number, tie, np.sign(fields).astype(np.int8), *ends, none, none, none)
    cost = 2.0 * np.concatenate([np.asarray(magnet.couplings), np.abs(fields[tied])])
    return _levels(bonds, cost, np.ones(len(cost), bool))


def _levels(bonds: Bonds, cost: np.ndarray, scaled: np.ndarray) -> Bonds:
    """Bonds of equal cost share a level, those that λ scales and those that stay apart."""
    known, level = np.unique(np.where(scaled, cost, -cost), return_inverse=True)
    return bonds._replace(level=level.ravel(), base=np.maximum(-known, 0.0), costs=np.maximum(known, 0.0))
