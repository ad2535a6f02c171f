"""Belief propagation on an Ising magnet with JAX: one message a directed bond, all updated at once.

    c_{i→j} = h_i + Σ_{k ≠ j} u_{k→i},    u_{i→j} = atanh(tanh K_ij tanh c_{i→j})      (h = βH, K = βJ)

    log Z_Bethe = Σ_i (1 − d_i) log 2cosh H_i + Σ_(ij) log Σ_{s,s'} exp(K s s' + c_i s + c_j s')
    with H_i = h_i + Σ_k u_{k→i}

Messages are carried as U = e^{2u}, in which a step is one division and nothing transcendental, and cannot cancel:

    U_{i→j} = (X E + 1) / (X + E),    E = e^{2K},    X = e^{2c} = e^{2h_i} Π_{k ≠ j} U_{k→i}

Bond slots are (d, i), the d-th bond of site i, so that on a lattice a gather reads neighbours in memory. The gathered
array is itself the loop carry: gathering what was just computed makes XLA recompute it for every reader, 20–30 times
slower. X must stay within float64: `fits` says whether it does; the kernels in `factor_messages` take what does not.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

CHUNK = 10  # sweeps between two looks at convergence and at the signals
_LARGEST = 170.0  # largest |h| + Σ|K| of a site for which e^{2c} and its products stay finite


class Slots(NamedTuple):
    """Bonds in padded form, D bonds a site; a slot without a bond has K = 0 and points at itself."""

    back: np.ndarray  # (D, n) int32: the slot at the other end
    coupling: np.ndarray  # (D, n)
    field: np.ndarray  # (n,)
    degree: np.ndarray  # (n,)
    edge_slot: np.ndarray  # (2, e) the two slots of each edge


def fits(edges: np.ndarray, coupling: np.ndarray, field: np.ndarray) -> bool:
    """Whether no field can overflow, and padding to the largest degree wastes less than half of the slots."""
    degree = np.bincount(edges.ravel(), minlength=len(field))
    reach = np.abs(field)
    for end in (0, 1):
        reach = reach + np.bincount(edges[:, end], np.abs(coupling), minlength=len(field))
    return bool(reach.max(initial=0.0) < _LARGEST and degree.max(initial=0) * len(field) <= 4 * len(edges))


def slots(edges: np.ndarray, coupling: np.ndarray, field: np.ndarray) -> Slots:
    """Lays out the edges, shape (e, 2); `coupling` and `field` carry β already."""
    n, e = len(field), len(edges)
    site = np.concatenate([edges[:, 0], edges[:, 1]])
    order = np.argsort(site, kind="stable")
    degree = np.bincount(site, minlength=n)
    rank = np.empty(2 * e, np.int64)
    rank[order] = np.arange(2 * e) - np.repeat(np.cumsum(degree) - degree, degree)
    slot = rank * n + site
    width = int(degree.max(initial=0))
    back = np.arange(width * n, dtype=np.int32)
    back[slot] = np.roll(slot, e)
    K = np.zeros(width * n)
    K[slot] = np.concatenate([coupling, coupling])
    return Slots(back.reshape(width, n), K.reshape(width, n), np.asarray(field, float), degree, slot.reshape(2, e))


def start(slots: Slots, bias: float) -> np.ndarray:
    """Messages U (D, n) with a slight random bias towards spin up, so that no unstable symmetry is kept."""
    u = bias * np.random.default_rng(0).random(slots.coupling.shape)
    return np.where(slots.coupling == 0.0, 1.0, np.exp(u))


@functools.partial(jax.jit, donate_argnums=0)
def sweeps(U: Any, back: Any, E: Any, field: Any, damping: Any) -> tuple[Any, Any]:
    """Ten parallel sweeps over the messages U (D, n), given E = e^{2K} and e^{2h}.

    Damping mixes old and new as probabilities, U/(1+U), which treats both signs alike.

    **Returns:** the messages, and the largest change of a field u in the last sweep.
    """

    def update(U: Any) -> Any:
        arriving = U.ravel()[back]
        total = field * jnp.prod(arriving, axis=0)
        up, down = total * E + arriving, total + E * arriving  # the new message is up / down
        keep, fresh = damping * (up + down), (1.0 - damping) * (1.0 + U)
        return (fresh * up + keep * U) / (fresh * down + keep)

    U = jax.lax.fori_loop(0, CHUNK - 1, lambda _, U: update(U), U)
    new = update(U)
    return new, 0.5 * jnp.max(jnp.abs(new - U) / jnp.minimum(new, U))


def log_two_cosh(x: np.ndarray) -> np.ndarray:
    """log(2 cosh x) without overflow."""
    a = np.abs(x)
    return a + np.log1p(np.exp(-2.0 * a))


def read_out(slots: Slots, U: np.ndarray) -> tuple[float, np.ndarray]:
    """log Z_Bethe, and the total field of each site: its magnetization is tanh of it."""
    arriving = 0.5 * np.log(U.ravel())[slots.back]
    total = slots.field + arriving.sum(axis=0)
    cavity = (total - arriving).ravel()
    left, right = cavity[slots.edge_slot[0]], cavity[slots.edge_slot[1]]
    K = slots.coupling.ravel()[slots.edge_slot[0]]
    pairs = np.logaddexp(K + log_two_cosh(left + right), log_two_cosh(left - right) - K)
    return float(np.sum((1.0 - slots.degree) * log_two_cosh(total)) + np.sum(pairs)), total
