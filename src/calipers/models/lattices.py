"""Lattices and random graphs: which sites are bound to which.

A lattice is a cell, repeated along each side. Sites are numbered in C order (the last coordinate fastest), and inside a
cell in the order of its basis. Bonds come bond type by bond type, each in the order of its first site's cell:

    hypercubic  r – r+e_a for each axis a          triangular  square, and r – r+(1,1)
    honeycomb   two sites a cell, A(r) – B(r), A(r) – B(r−(1,0)), A(r) – B(r−(0,1))

Periodic sides wrap. A side of length 2 then yields each bond along it twice, and a model adds the two couplings: 2J
for a uniform one, the sum of two draws for a random one. No bond steps along a side of length 1, periodic or open.
Cost: linear, about 0.1 s for 10⁶ sites. Fails when the graph would not fit in half of the machine's memory.
"""

import math
import os
from collections.abc import Sequence
from operator import index
from typing import NamedTuple

import numpy as np

from calipers.models.laws import GIVEN, Law, law_of, parse_law, show_number
from calipers.models.random_graphs import random_regular

_SIDES = {"chain": 1, "square": 2, "triangular": 2, "honeycomb": 2, "cubic": 3, "complete": 1, "sk": 1, "regular": 1}
KINDS = (*_SIDES, "hypercubic")
GRAPHS = ("complete", "sk", "regular")  # no boundary, so that "open" means nothing
_MOST_SIDES, _LONGEST_SIDE = 32, 10**9
BYTES_PER_BOND, BYTES_PER_SITE = 150, 40  # while a model is built; measured


class Lattice(NamedTuple):
    """How a model was made: enough to make it again, unless values were given as arrays.

    **Arguments:** `kind`, one of `KINDS`; `shape`, the sides in cells, or (n,) for a graph; `periodic`; `coupling` and
    `field`, laws as text, or "given"; `seed`; `degree` of a regular graph.
    """

    kind: str
    shape: tuple[int, ...]
    periodic: bool = True
    coupling: str = "1"
    field: str = "0"
    seed: int = 0
    degree: int = 0

    @property
    def n(self) -> int:
        """Number of sites."""
        return math.prod(self.shape) * (2 if self.kind == "honeycomb" else 1)

    @property
    def most_bonds(self) -> int:
        """Number of bonds, before repeated ones are merged and open sides lose theirs."""
        if self.kind == "regular":
            return self.n * self.degree // 2
        if self.kind in GRAPHS:
            return self.n * (self.n - 1) // 2
        return len(_cell(self.kind, len(self.shape))) * math.prod(self.shape)

    @property
    def random(self) -> bool:
        """Whether the seed matters."""
        return self.kind in ("sk", "regular") or any(text != GIVEN and parse_law(text).random for text in self.values)

    @property
    def values(self) -> tuple[str, str]:
        """The two laws."""
        return self.coupling, self.field

    def spec(self, beta: float) -> str | None:
        """The text that makes this model again at `beta`, every choice spelled out; None when values were given."""
        if GIVEN in self.values:
            return None
        size = [str(self.degree), f"n={self.n}"] if self.kind == "regular" else ["x".join(map(str, self.shape))]
        laws = [f"h={self.field}"] if self.kind == "sk" else [f"J={self.coupling}", f"h={self.field}"]
        tail = [f"beta={show_number(beta)}"]
        tail += [f"seed={self.seed}"] if self.random else []
        tail += [] if self.periodic else ["open"]
        return f"{self.kind}:" + ",".join(size + laws + tail)


def make_lattice(
    kind: str,
    shape: int | Sequence[int],
    *,
    periodic: bool = True,
    coupling: float | str | Law | np.ndarray = 1.0,
    field: float | str | Law | np.ndarray = 0.0,
    seed: int = 0,
    degree: int = 0,
) -> Lattice:
    """Checks the choices, and that the model would fit in memory, before anything is allocated.

    **Arguments:** as `Lattice`'s; one number for the sides of a lattice of 2 or 3 dimensions means equal sides; `sk`
    takes no coupling, its own are normal with variance 1/n.

    **Raises:** `ValueError` that says what came and what is needed.
    """
    if kind not in KINDS:
        raise ValueError(f"expected one of the kinds {', '.join(KINDS)}, but came {kind!r}")
    sides = (int(shape),) * _SIDES.get(kind, 1) if isinstance(shape, int | np.integer) else tuple(map(index, shape))
    if len(sides) != _SIDES.get(kind, len(sides)) or not 1 <= len(sides) <= _MOST_SIDES:
        wanted = _SIDES.get(kind, f"1 to {_MOST_SIDES}")
        raise ValueError(f"{kind} has {wanted} side(s), but {len(sides)} came: {'x'.join(map(str, sides))}")
    if not 1 <= min(sides) <= max(sides) <= _LONGEST_SIDE:
        raise ValueError(f"every side is from 1 to {_LONGEST_SIDE}, but {'x'.join(map(str, sides))} came")
    if not periodic and kind in GRAPHS:
        raise ValueError(f"{kind} has no boundary; it cannot be open")
    if seed < 0:
        raise ValueError(f"a seed is at least 0, but {seed} came")
    if kind == "regular" and (not 0 <= degree < sides[0] or degree * sides[0] % 2):
        raise ValueError(f"a {degree}-regular graph on {sides[0]} sites does not exist: 0 ≤ degree < n, degree·n even")
    law = f"gauss:{show_number(sides[0] ** -0.5)}" if kind == "sk" else str(law_of(coupling) or GIVEN)
    lattice = Lattice(kind, sides, periodic, law, str(law_of(field) or GIVEN), int(seed), int(degree))
    check_memory(lattice.n, lattice.most_bonds)
    return lattice


def bonds(lattice: Lattice, rng: np.random.Generator) -> np.ndarray:
    """The bonds in their documented order, shape (bonds, 2); periodic sides of length 2 repeat theirs."""
    if lattice.kind == "regular":
        return random_regular(lattice.degree, lattice.n, rng)
    if lattice.kind in GRAPHS:
        return np.stack(np.triu_indices(lattice.n, 1), axis=1).astype(np.int64, copy=False)
    return _repeat_cell(lattice)


def _cell(kind: str, sides: int) -> list[tuple[int, int, tuple[int, ...]]]:
    """The bonds of one cell: site of the basis here, site of the basis there, step from here to there."""
    if kind == "honeycomb":
        return [(0, 1, (0, 0)), (0, 1, (-1, 0)), (0, 1, (0, -1))]
    steps = [tuple(int(a == b) for b in range(sides)) for a in range(sides)]
    return [(0, 0, step) for step in ([*steps, (1, 1)] if kind == "triangular" else steps)]


def _repeat_cell(lattice: Lattice) -> np.ndarray:
    shape, basis = lattice.shape, 2 if lattice.kind == "honeycomb" else 1
    cells = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    pairs = [np.zeros((0, 2), np.int64)]
    for a, b, step in _cell(lattice.kind, len(shape)):
        if any(d and side == 1 for d, side in zip(step, shape, strict=True)):
            continue
        here, there = cells, np.roll(cells, [-d for d in step], axis=tuple(range(len(shape))))
        if not lattice.periodic:
            inside = tuple(slice(max(0, -d), side - max(0, d)) for d, side in zip(step, shape, strict=True))
            here, there = here[inside], there[inside]
        pairs.append(np.stack([basis * here.ravel() + a, basis * there.ravel() + b], axis=1))
    return np.concatenate(pairs)


def check_memory(sites: int, most_bonds: int) -> None:
    """**Raises:** `ValueError`, with the estimate, when a model of this size would not fit in half of the memory."""
    needed = BYTES_PER_BOND * most_bonds + BYTES_PER_SITE * sites
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if hasattr(os, "sysconf") else 1 << 32
    if needed > there:
        size = f"{sites:.3g} sites and {most_bonds:.3g} bonds need about {needed / 1e9:.3g} GB"
        raise ValueError(f"{size}; half of this machine's memory is {there / 1e9:.3g} GB")
