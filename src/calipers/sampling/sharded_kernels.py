"""The checkerboard in JAX: one half sweep is a function of whole arrays, whatever the devices that hold them.

Words of 32 bits as `packing.py` lays them out, chains first. Neighbours are rolled arrays: where an array is divided
among devices, XLA exchanges the edges. Random bits are a hash of (key, sweep, colour, place of the word in the whole
array, plane), so that every device knows its own: the same bits for any division. Comparison with a threshold goes
plane by plane, as `multispin_kernels.py` says; a tie in sixteen bits by a 32-bit number a word: right to 2⁻⁴⁸.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

PLANES = 16
ALL = np.uint32(0xFFFFFFFF)
_GOLDEN = 0x9E3779B9


def thresholds(rates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (r,) as words (r, 16), lowest bit first, numbers (r,) that settle ties, words of the certain."""
    sure = rates >= 1.0
    whole, rest = np.divmod(np.where(sure, 0.0, rates) * 2.0**PLANES, 1.0)
    planes = (whole.astype(np.int64)[:, None] >> np.arange(PLANES)) & 1
    return (np.where(planes, ALL, 0).astype(np.uint32), (rest * 2.0**32).astype(np.uint32),
            np.where(sure, ALL, 0).astype(np.uint32))  # fmt: skip


def mix(x: Array) -> Array:
    """A bijection of 32 bits in which every bit of the result depends on all (Wellons's lowbias32)."""
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)


def seeds(key: Array, clock: Array, colour: int, like: Array) -> tuple[Array, Array]:
    """Two hashed numbers for each word, by its place in the whole array."""
    a = mix(key[0] + mix(clock[0] * np.uint32(2) + np.uint32(colour) + key[1]))
    b = mix(key[1] ^ mix(a + np.uint32(_GOLDEN)))
    place, stride = jnp.zeros_like(like), 1
    for axis in reversed(range(like.ndim)):
        place += lax.broadcasted_iota(jnp.uint32, like.shape, axis) * np.uint32(stride)
        stride *= like.shape[axis]
    return mix(place ^ a), mix(place + b)


def plane(s: Array, t: Array, k: int) -> Array:
    """Random bits number k of words with these seeds."""
    x = s + np.uint32(k * _GOLDEN % 2**32)
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D) ^ t
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)


def neighbours(other: Array, colour: int) -> list[Array]:
    """The words of the 2d neighbours of one colour's spins, (chains, S, …) each, in the order of `packing.signs`."""
    last, outer = other.ndim - 1, range(2, other.ndim - 1)
    odd = sum(lax.broadcasted_iota(jnp.int32, other.shape, a) for a in range(1, last)) % 2 != colour
    far = jnp.where(odd, jnp.roll(other, -1, last), jnp.roll(other, 1, last))
    place, end = lax.broadcasted_iota(jnp.int32, other.shape, 1), other.shape[1] - 1
    up, down = jnp.roll(other, -1, 1), jnp.roll(other, 1, 1)
    up = jnp.where(place == end, (up >> 1) | (up << 31), up)
    down = jnp.where(place == 0, (down << 1) | (down >> 31), down)
    return [other, far, up, down, *(jnp.roll(other, -step, a) for a in outer for step in (1, -1))]


def broken_bonds(mine: Array, other: Array, colour: int, sign: Array) -> list[Array]:
    """Words that say of each bond of a spin whether it is broken."""
    bonds = [mine ^ x for x in neighbours(other, colour)]
    return [x ^ sign[colour, k] for k, x in enumerate(bonds)] if sign.size else bonds


def at_least(bonds: list[Array]) -> list[Array]:
    """Whether 1, 2, …, d or more of 2d bonds are broken."""
    d = len(bonds) // 2
    found = [bonds[0]]
    for x in bonds[1:]:
        more = [found[0] | x] + [b | (a & x) for a, b in itertools.pairwise(found)]
        found = [*more, found[-1] & x][:d]
    return found


def half_sweep(mine, other, colour, key, clock, bits, rest, sure, sign):
    """Metropolis for one colour.

    **Arguments:** `mine`, `other` (chains, S, …); `bits` (r, 16), `rest`, `sure` (r,): `thresholds` of the rates of
    d−1, d−2, …, 0 broken bonds, or, if there is a field, for spins down and up of 0 … 2d broken bonds; `sign`, of size
    0 where no bond is negative.
    """
    bonds = broken_bonds(mine, other, colour, sign)
    planes = [plane(*seeds(key, clock, colour, mine), k) for k in range(PLANES + 1)]
    if len(bits) == len(bonds) // 2:
        return mine ^ _without_field(bonds, planes, bits, rest)
    return mine ^ _in_a_field(mine, bonds, planes, bits, rest, sure)


def _without_field(bonds: list[Array], planes: list[Array], bits: Array, rest: Array) -> Array:
    """Who flips: certainly where half the bonds are broken, else by one comparison a rate."""
    *enough, flip = at_least(bonds)
    enough = [*enough[::-1], jnp.full_like(flip, ALL)]
    for more, m, r in zip(enough, bits, rest, strict=True):  # d−1 or more broken, …, 0 or more
        below = jnp.where(planes[PLANES] < r, ALL, 0).astype(jnp.uint32)
        for k in range(PLANES):
            below = (below & planes[k]) | (m[k] & (below | planes[k]))
        flip |= below & more
    return flip


def _in_a_field(mine: Array, bonds: list[Array], planes: list[Array], bits: Array, rest: Array, sure: Array) -> Array:
    """Who flips in a field: each spin's number against the threshold of its own class."""
    classes = _classes(mine, bonds)
    below = _pick(classes, [jnp.where(planes[PLANES] < r, ALL, 0).astype(jnp.uint32) for r in rest])
    for k in range(PLANES):
        bound = _pick(classes, bits[:, k])
        below = (below & ~planes[k]) | (bound & (below | ~planes[k]))
    return _pick(classes, sure) | below


def _classes(mine: Array, bonds: list[Array]) -> list[Array]:
    """Words of the spins down, then up, with exactly 0, 1, …, 2d bonds broken."""
    exactly = [~bonds[0], bonds[0]]
    for x in bonds[1:]:
        between = [(b & ~x) | (a & x) for a, b in itertools.pairwise(exactly)]
        exactly = [exactly[0] & ~x, *between, exactly[-1] & x]
    return [way & x for way in (~mine, mine) for x in exactly]


def _pick(classes: list[Array], words: Array | list[Array]) -> Array:
    """The word that belongs to each spin's class."""
    found = classes[0] & words[0]
    for c, w in zip(classes[1:], words[1:], strict=True):
        found |= c & w
    return found


@jax.jit
def sweeps(black, white, key, clock, count, bits, rest, sure, sign):
    """`count` sweeps; the number is traced, as is everything but shapes."""

    def one(_, at):
        black, white, clock = at
        black = half_sweep(black, white, 0, key, clock, bits, rest, sure, sign)
        white = half_sweep(white, black, 1, key, clock, bits, rest, sure, sign)
        return black, white, clock + np.uint32(1)

    return lax.fori_loop(0, count, one, (black, white, clock))


@jax.jit
def totals(black, white, sign):
    """Spins up and bonds broken, (2, chains, S): whoever adds them up needs 64 bits."""
    axes = tuple(range(2, black.ndim))

    def count(words: list[Array]) -> Array:
        return jnp.sum(jnp.stack([lax.population_count(x).astype(jnp.int32).sum(axes) for x in words]), axis=0)

    return jnp.stack([count([black, white]), count(broken_bonds(black, white, 0, sign))])


def random_words(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Spins at random, both colours, by the same hash at a clock that no sweep has."""
    like = jnp.zeros(shape, jnp.uint32)
    made = [plane(*seeds(key, jnp.full(1, ALL), colour, like), 0) for colour in range(2)]
    return made[0], made[1]


def words_up(_key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """All spins up."""
    return jnp.full(shape, ALL), jnp.full(shape, ALL)
