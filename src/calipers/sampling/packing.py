"""A periodic lattice as words of bits: the checkerboard, and neighbours that are whole words away.

The last side, of length B·S for words of B bits, is cut into B segments: bit b of a word is a site of segment b. Sites
x' = 0 … S−1 of all segments lie in the same place of their words, so that the neighbour of a bit is the same bit of
another word; only where a segment ends do bits turn, by one place. The two colours of the checkerboard (sums of
coordinates even and odd) are kept apart, along the side before the last.

    words[colour]  (S, A_0, …, A_{d−2}/2)     site (a_0, …, x):  bit x // S of word (x mod S, a_0, …, a_{d−2} // 2)

Of the two neighbours along A_{d−2} one, "near", has the same index, and "far" is the one before or after it. Both
Numba's and JAX's kernels use it. **Fails** unless the last side is a multiple of 2B and the others are even.
"""

import math
from typing import NamedTuple

import numpy as np

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.models.ising import Ising

Shape = tuple[int, ...]


class Torus(NamedTuple):
    """A magnet with couplings ±J on a periodic lattice: K = β|J|; `negative` (d, *shape), the bond to the next site."""

    shape: Shape
    K: float
    size: float  # |J|
    field: float  # βH
    negative: np.ndarray


def check_shape(shape: Shape, bits: int) -> None:
    """Raises `Refusal` for a lattice that does not fill words."""
    if len(shape) < 2 or any(a < 4 or a % 2 for a in shape) or shape[-1] % (2 * bits):
        sides = "×".join(str(a) for a in shape)
        raise Refusal(
            f"{sides} spins do not fill words: the last side must be a multiple of {2 * bits}, the others even and 4 "
            "or more; use Metropolis(), or MultispinReplicas() for many copies"
        )


def word_shape(shape: Shape, bits: int) -> Shape:
    """The shape of one colour's words."""
    return (shape[-1] // bits, *shape[:-2], shape[-2] // 2)


def torus(model: AbstractDiscreteModel, bits: int, field: bool = False) -> Torus:
    """A model as a torus of couplings ±J, where `field` in a uniform one. Raises `Refusal` for other models."""
    lattice = model.lattice if isinstance(model, Ising) else None
    if not isinstance(model, Ising) or lattice is None or lattice.kind not in _KINDS or not lattice.periodic:
        raise Refusal("this kernel is for square and cubic lattices with periodic sides; use Metropolis()")
    size = np.abs(model.couplings)
    if np.ptp(model.fields) or (model.fields.any() and not field) or not len(size) or np.ptp(size):
        raise Refusal(
            "this kernel needs couplings of one size, ±J, and no field (ShardedMultispin() takes a uniform one); use "
            "HeatBath() or MultispinReplicas()"
        )
    check_shape(lattice.shape, bits)
    K, H = float(model.beta * size[0]), float(model.beta * model.fields[0])
    return Torus(tuple(lattice.shape), K, float(size[0]), H, _bonds(model, lattice.shape))


_KINDS = ("square", "cubic", "hypercubic")


def _bonds(model: Ising, shape: Shape) -> np.ndarray:
    """Whether the bond from each site to the next along each side is negative, (d, *shape)."""
    first, second = (np.array(np.unravel_index(model.edges[:, k], shape)) for k in (0, 1))
    sides = np.array(shape)[:, None]
    step = (second - first) % sides
    side = np.argmax(step != 0, axis=0)
    along = step[side, np.arange(len(side))]
    forward = along == 1
    whole = ((step != 0).sum(0) == 1) & (forward | (along == np.array(shape)[side] - 1))
    start = np.where(forward, model.edges[:, 0], model.edges[:, 1])
    seen = np.bincount(side * model.n + start, minlength=len(shape) * model.n)
    if not whole.all() or (seen != 1).any():
        raise Refusal(f"these {len(model.edges)} bonds are not those of a torus of sides {shape}")
    negative = np.zeros((len(shape), model.n), bool)
    negative[side, start] = np.asarray(model.couplings) < 0
    return negative.reshape(len(shape), *shape)


def pack(up: np.ndarray, bits: int) -> np.ndarray:
    """Booleans (chains, *shape) as words (2, chains, *word_shape), black first."""
    chains, *lead, last = up.shape
    parts = np.moveaxis(up.reshape(chains, *lead, bits, last // bits), -1, 1)  # (chains, S, *lead, bits)
    bytes_ = np.ascontiguousarray(np.packbits(np.ascontiguousarray(parts), axis=-1, bitorder="little"))
    words = bytes_.view(f"<u{bits // 8}")[..., 0].astype(f"u{bits // 8}")
    pairs = words.reshape(*words.shape[:-1], -1, 2)
    odd = _odd(words.shape[1:-1])
    return np.stack([np.where(odd == colour, pairs[..., 0], pairs[..., 1]) for colour in range(2)])


def unpack(words: np.ndarray, shape: Shape) -> np.ndarray:
    """The reverse of `pack`: uint8 0 or 1, (chains, *shape), from words (2, chains, *word_shape)."""
    odd = _odd(words.shape[2:-1])
    pairs = np.stack([np.where(odd == place, words[0], words[1]) for place in range(2)], axis=-1)
    whole = np.ascontiguousarray(pairs.reshape(*pairs.shape[:-2], -1))  # (chains, S, *lead)
    size = whole.dtype.itemsize
    up = np.unpackbits(whole.astype(f"<u{size}")[..., None].view(np.uint8), axis=-1, bitorder="little")
    return np.moveaxis(up, 1, -1).reshape(len(whole), *shape)


def _odd(outer: Shape) -> np.ndarray:
    """Whether the coordinates of a row of words add up to an odd number, (*outer, 1)."""
    return (sum(np.indices(outer), np.zeros(outer, np.int64)) % 2)[..., None]


def signs(negative: np.ndarray, bits: int) -> np.ndarray:
    """For the two ends of every bond whether it is negative, as words (2, 2d, *word_shape): all ones where it is.

    **Returns:** by colour and direction: near, far, x'+1, x'−1, then the other sides, forwards and backwards.
    """
    d = len(negative)
    back = [np.roll(negative[a], 1, axis=a) for a in range(d)]
    even = np.indices(negative.shape[1:])[d - 2] % 2 == 0
    near, far = np.where(even, negative[d - 2], back[d - 2]), np.where(even, back[d - 2], negative[d - 2])
    others = [x for a in range(d - 2) for x in (negative[a], back[a])]
    return pack(np.stack([near, far, negative[d - 1], back[d - 1], *others]), bits)


def acceptance(K: float, d: int) -> list[float]:
    """The probability of a flip with d−1, d−2, …, 0 of its 2d bonds broken: e^{−4K}, e^{−8K}, …"""
    return [math.exp(-4.0 * K * k) for k in range(1, d + 1)]
