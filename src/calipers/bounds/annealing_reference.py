"""Where the annealing of a ferromagnet may begin: its ground states, or blocks of it that are summed exactly.

    ground states   λ = ∞, all bonds scaled:             ζ(∞) = 2^free
    blocks          λ = 0, bonds between blocks scaled:  log ζ(0) by elimination; strips of a lattice, parts of a graph

**Proves** log ζ of the reference, up to rounding. **Cost** 2^width table entries a spin, about 4 ns each.
"""

import math
from typing import NamedTuple

import numpy as np

from calipers.bounds.cover_blocks import blocks_of, widest
from calipers.core.method import Limits
from calipers.exact.elimination import Elimination
from calipers.models.ising import Ising
from calipers.sampling.cluster_annealing import cold_schedule, ground_states
from calipers.sampling.ferromagnet import ULP, Ferromagnet
from calipers.sampling.perfect import Coupler

_SECONDS, _SHARE, _MOST = 4e-9, 0.02, 24  # an entry; of the time, that elimination may take; the widest block


class Reference(NamedTuple):
    """`magnet`, with the bonds that λ scales; `log_zeta` of the reference, and its error, nats; `cold`: λ = ∞."""

    name: str
    magnet: Ferromagnet
    log_zeta: float
    error: float
    cold: bool

    def schedule(self, steps: int) -> np.ndarray:
        """A first schedule, from the reference to λ = 1."""
        return cold_schedule(self.magnet, steps) if self.cold else np.linspace(0.0, 1.0, steps + 1)

    def start(self, chains: int, coupler: Coupler, rng: np.random.Generator) -> np.ndarray:
        """Exact draws at the reference, int8 (chains, n). Raises `Unfinished` as the coupler does."""
        if self.cold:
            return ground_states(self.magnet, chains, rng)
        return np.array([coupler.draw(0.0, rng) for _ in range(chains)])


def ground(magnet: Ferromagnet) -> Reference:
    """The ground states of a magnet whose fields are aligned."""
    return Reference("ground states", magnet, magnet.free * math.log(2.0), 4.0 * ULP * magnet.free, True)


def blocks(magnet: Ferromagnet, width: int, limits: Limits = Limits()) -> Reference:
    """Blocks of a width; all of the magnet, when nothing is left between them.

    **Raises:** `Refusal` when elimination would not fit the memory.
    """
    model = magnet.ising
    edges, couplings = np.asarray(model.edges), np.asarray(model.couplings)
    inside = np.zeros(magnet.m, bool)
    inside[len(edges) :] = True  # fields stay
    for region in blocks_of(model, width, cut=False)[2]:
        inside[region.edges] = True
    kept = inside[: len(edges)]
    part = Ising.from_arrays(edges[kept], couplings[kept], np.asarray(model.fields))
    engine = Elimination(order_seconds=0.1)  # without the driver, which would take an outer deadline for its own
    *_, answer = engine.answers(part, engine.plan(part, Limits(memory=limits.memory)))
    assert answer.value is not None
    scale = math.fsum(magnet.cost[inside]) / 2.0
    error = max(answer.upper.value - answer.value, answer.value - answer.lower.value) + ULP * (8.0 * scale + 4.0)
    return Reference(f"blocks of width {width}", magnet.scaling(~inside), answer.value - scale, error, False)


def affordable_width(magnet: Ferromagnet, limits: Limits) -> int:
    """The widest blocks whose elimination takes a small part of the time, and fits the memory."""
    seconds = _SHARE * min(max(limits.seconds_left(), 0.0), 60.0)
    entries = min(seconds / (_SECONDS * max(magnet.n, 1)), limits.memory / 32.0)
    return int(min(max(math.log2(max(entries, 2.0)) - 1.0, 1.0), _MOST, widest(magnet.ising)))
