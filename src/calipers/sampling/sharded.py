"""Multispin Metropolis in JAX: one lattice on any number of devices and processes, the same bits everywhere.

    flip with probability min(1, e^{−2K(held − broken) − 2βH s})          K = β|J|, couplings ±J, a uniform field H

32 spins a word, a checkerboard at a time; the lattice is divided along its first axis of words that the devices divide.
JAX moves the edges (`jax.sharding`): there is no code for one device, for many, or for several processes (call
`jax.distributed.initialize` first). Random bits belong to places and sweeps, not to devices, so that results are bit
for bit those of one CPU. Couplings, fields and temperature are traced: changing them compiles nothing. **Cost** on a
CPU core 0.15–0.3 ns a spin (`Multispin` needs 0.08); a bit a spin, and as much again while sweeping. **Fails** by
critical slowing down; refuses what `Multispin` refuses but fields, and a last side that is no multiple of 64.
**Source** Block, Virnau & Preis (2010); Salmon et al., *Parallel random numbers: as easy as 1, 2, 3* (2011).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.sampling import packing
from calipers.sampling import sharded_kernels as kernels
from calipers.sampling.kernel import AbstractKernel, Info, first_states
from calipers.sampling.measure import Measured

BITS = 32
WEAKEST = 1e-3


class ShardedState(NamedTuple):
    """Words of both colours, (chains, S, …) uint32; the key and the sweeps done; rates of flips; signs of bonds."""

    black: Any
    white: Any
    key: Any  # (2,) uint32
    clock: Any  # (1,) uint32
    bits: Any  # (r, 16), (r,), (r,): `thresholds` of r rates
    rest: Any
    sure: Any
    sign: Any  # (2, 2d, S, …), or of size 0


class ShardedMultispin(AbstractKernel):
    """Bit-packed Metropolis in JAX on periodic lattices of 2 or more dimensions, couplings ±J, a uniform field.

    **Arguments:** `devices`, how many of JAX's devices share a lattice, 0 for all; results do not depend on it.
    """

    devices: int = 0

    def __check_init__(self) -> None:
        if self.devices < 0:
            raise ValueError(f"devices is {self.devices}; it must be 0, for all, or more")

    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> ShardedState:
        torus = packing.torus(model, BITS, field=True)
        sign = packing.signs(torus.negative, BITS) if torus.negative.any() else None
        state = self.init_lattice(torus.shape, torus.K, rng, chains, field=torus.field, sign=sign)
        if start is None:
            return state
        states = first_states(np.full(model.n, 2), rng, chains, start).reshape(chains, *torus.shape)
        black, white = packing.pack(states == 0, BITS)
        return self._placed(state._replace(black=black, white=white))

    def init_lattice(
        self, shape: tuple[int, ...], K: float, rng: np.random.Generator, chains: int = 1, up: bool = False,
        field: float = 0.0, sign: np.ndarray | None = None,
    ) -> ShardedState:  # fmt: skip
        """The state for a lattice too large to be spelled out as a model, random or all up.

        **Arguments:** `shape`, the sides, the last a multiple of 64; `K`, β|J|; `rng`, the source of the key; `field`,
        βH; `sign`, words of the negative bonds as `packing.signs` makes them, none if all are positive.
        """
        packing.check_shape(shape, BITS)
        if not WEAKEST <= K < np.inf:
            raise Refusal(f"β|J| is {K:.3g}; this kernel needs {WEAKEST} or more; use HeatBath()")
        size = (chains, *packing.word_shape(shape, BITS))
        if np.prod(size, dtype=float) >= 2.0**32:
            raise Refusal(f"{chains} chains of {shape} need more than 2³² words")
        bits, rest, sure = kernels.thresholds(rates(K, len(shape), field))
        key = rng.integers(0, 2**32, 2, dtype=np.uint32)
        shared, _ = self.shardings(size)
        black, white = _maker(kernels.words_up if up else kernels.random_words, shared)(jax.numpy.asarray(key), size)
        no_sign = np.zeros((2, 2 * len(shape), 0), np.uint32)
        clock = np.zeros(1, np.uint32)
        return self._placed(ShardedState(black, white, key, clock, bits, rest, sure, no_sign if sign is None else sign))

    def shardings(self, size: tuple[int, ...]) -> tuple[NamedSharding, NamedSharding]:
        """How words (chains, S, …) are divided among the devices, and how what all need is kept by all."""
        count = self.devices or len(jax.devices())
        if count > len(jax.devices()):
            raise Refusal(f"{count} devices are wanted; JAX has {len(jax.devices())}")
        axis = next((a for a in range(1, len(size)) if size[a] % count == 0), None)
        if axis is None:
            raise Refusal(f"no side of {size[1:]} words can be divided among {count} devices")
        mesh = Mesh(np.array(jax.devices()[:count]), ("lattice",))
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, "lattice")), NamedSharding(mesh, PartitionSpec())

    def _placed(self, state: ShardedState) -> ShardedState:
        """The state where it belongs; what is there already stays."""
        shared, common = self.shardings(state.black.shape)
        places = dict.fromkeys(state._fields, common) | {"black": shared, "white": shared}
        if np.size(state.sign):
            places["sign"] = NamedSharding(shared.mesh, PartitionSpec(None, *shared.spec))
        return ShardedState(**{name: _put(getattr(state, name), place) for name, place in places.items()})

    def step(self, state: ShardedState, sweeps: int = 1) -> tuple[ShardedState, Info]:
        at = self._placed(state)
        black, white, clock = kernels.sweeps(
            at.black, at.white, at.key, at.clock, np.int32(sweeps), at.bits, at.rest, at.sure, at.sign
        )
        tried = sweeps * 2 * BITS * int(np.prod(black.shape[1:], dtype=np.int64))
        return at._replace(black=black, white=white, clock=clock), Info(np.full(len(black), -1), tried)

    def states(self, state: ShardedState) -> np.ndarray:
        words = np.stack([whole(state.black), whole(state.white)])
        _, _, S, *outer, half = words.shape
        up = packing.unpack(words, (*outer, 2 * half, S * BITS))
        return 1 - up.reshape(len(up), -1).view(np.int8)

    def meter(self, model: AbstractDiscreteModel) -> Callable[[ShardedState], Measured]:
        torus = packing.torus(model, BITS, field=True)
        beta, offset = float(model.beta), float(model.offset)  # type: ignore[attr-defined]

        def measure(state: ShardedState) -> Measured:
            total, bonds = spins_and_bonds(state)
            return Measured(offset - torus.size * bonds - torus.field / beta * total, total)

        return measure


def spins_and_bonds(state: ShardedState) -> np.ndarray:
    """Σ s_i and Σ ±s_i s_j of each chain, (2, chains)."""
    up, broken = whole(kernels.totals(state.black, state.white, state.sign)).astype(np.int64).sum(-1)
    sites = 2 * BITS * int(np.prod(state.black.shape[1:], dtype=np.int64))
    return np.array([2 * up - sites, (state.black.ndim - 1) * sites - 2 * broken], float)


def rates(K: float, d: int, field: float) -> np.ndarray:
    """Probabilities of a flip, in the order that `half_sweep` wants."""
    if field == 0.0:
        return np.array(packing.acceptance(K, d))
    held = 2 * d - 2 * np.arange(2 * d + 1)
    return np.exp(np.minimum(0.0, -2.0 * np.concatenate([K * held - field, K * held + field])))


def whole(x: Any) -> np.ndarray:
    """An array of all devices, those of other processes too."""
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(x, tiled=True))
    return np.asarray(x)


def _put(x: Any, place: NamedSharding) -> Any:
    if isinstance(x, jax.Array) and x.sharding.is_equivalent_to(place, x.ndim):
        return x
    host = np.asarray(x)
    return jax.make_array_from_callback(host.shape, place, lambda index: host[index])


@functools.lru_cache(maxsize=64)
def _maker(words: Callable, place: NamedSharding) -> Callable:
    """`words` compiled so that every device makes its own."""
    return jax.jit(words, static_argnums=1, out_shardings=(place, place))
