"""A frontier sweep with numbers in it: couplings and fields become the factors of `frontier_kernels`, in groups.

Every factor is at most one: exp(−|θ| ± θ) for a coupling, exp(−Σ|θ| ± Σθ) for a field; what was taken out is the
program's `log_scale`. Between two groups the vector is scaled by a power of two. So nothing overflows, and nothing
underflows either as long as `log_range`, a bound on the log of the ratio of two entries of the vector, stays below
`MOST_RANGE`: two states of the frontier differ in weight by at most what its spins' own couplings and fields say.

**Rounding.** All terms are positive, so relative errors do not grow: each step meets a factor, two products and a sum.
With exponents of size c, each the sum of up to five terms, 12 + 16 c units a step cover it.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from calipers.exact.frontier import MOST_NEAR, Step, Sweep
from calipers.exact.frontier_kernels import Blocks, Steps

BLOCK_BITS = 13  # a block of 2^13 float64 is 64 kB: it fits the second cache, and leaves long inner loops
TOUCHED = 8  # bits that a group of steps may touch when the vector is longer than a block
GROUP_STEPS, GROUP_RANGE = 64, 120.0
MOST_RANGE = 560.0  # nats; float64 holds e^±708 without subnormals


class Program(NamedTuple):
    """The numbers of a sweep; `bits[g]` is the length of the vector in group g, `log_scale` what was taken out."""

    sweep: Sweep
    steps: Steps
    groups: tuple[Blocks, ...]
    held: tuple[np.ndarray, ...]  # the vector's bit at each place of a group's buffer
    sizes: np.ndarray  # what was taken out of each step's factors
    alike: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]  # places, sites and edges of steps of one degree
    bits: tuple[int, ...]
    log_scale: float
    error: float  # of log Z, nats
    log_range: float


def build_program(sweep: Sweep, edges: np.ndarray, couplings: np.ndarray, reach: np.ndarray) -> Program:
    """Puts couplings into a sweep; `with_fields` puts in the fields.

    **Arguments:** `sweep`; `edges` (e, 2); `couplings` θ_ij (e,), natural parameters; `reach` (n,), the largest |θ_i|
    that will come. Edges of clamped sites are not looked at: the caller adds what they do to the fields.
    """
    steps = sweep.steps
    falls = [_fall(step, couplings, reach) for step in steps]
    bounds = list(_cuts(steps, falls))
    spot, near, groups, held, bits = [], [], [], [], []
    for first, last in bounds:
        blocks, places, length = _blocks(steps, first, last)
        spot += [places[step.slot] for step in steps[first:last]]
        near += [[places[s] for s, _ in step.near] for step in steps[first:last]]
        groups.append(blocks)
        held.append(np.array(list(places), np.int64))
        bits.append(length)
    ptr, factor_ptr = (np.concatenate([[0], np.cumsum([f(p) for p in near])]).astype(np.int64) for f in (len, _keys))
    flat, place = np.array([place for p in near for place in p], np.int64), np.array(spot, np.int64)
    numbers = Steps(place, _mixing(steps, couplings), ptr, flat, factor_ptr, np.zeros((factor_ptr[-1], 2)))
    scale = 0.5 * math.fsum(falls)
    strength = reach + sum(np.bincount(edges[:, k], np.abs(couplings), len(reach)) for k in (0, 1))
    fall = max((math.fsum(falls[a:b]) for a, b in bounds), default=0.0)
    sizes = np.array([reach[s.site] * s.field + sum(abs(couplings[e]) for _, e in s.near) for s in steps])
    return Program(
        sweep, numbers, tuple(groups), tuple(held), sizes, tuple(_alike(steps)), tuple(bits), scale,
        2.0**-53 * (12.0 * len(steps) + 16.0 * scale), _log_range(steps, couplings, reach, strength) + fall,
    )  # fmt: skip


def with_fields(program: Program, couplings: np.ndarray, fields: np.ndarray) -> Program:
    """The program with these natural fields θ_i (n,), none larger than the `reach` that it was built for."""
    ptr = program.steps.factor_ptr
    exponents = np.zeros(ptr[-1])
    for place, site, edges in program.alike:
        own = np.where(site >= 0, fields[site], 0.0)
        every = couplings[edges] @ SIGNS[edges.shape[1]].T + own[:, None]
        exponents[ptr[place][:, None] + np.arange(every.shape[1])] = every
    sizes = np.repeat(program.sizes, np.diff(ptr))
    factor = np.exp(np.stack([exponents - sizes, -exponents - sizes], axis=1))
    return program._replace(steps=program.steps._replace(factor=factor))


def _alike(steps: list[Step]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Steps with equally many neighbours: places, sites whose fields they multiply by (−1: none), and edges."""
    degree = np.array([len(s.near) for s in steps], np.int64)
    for d in np.unique(degree).tolist():
        place = np.flatnonzero(degree == d)
        site = np.array([steps[i].site if steps[i].field else -1 for i in place], np.int64)
        yield place, site, np.array([[e for _, e in steps[i].near] for i in place], np.int64).reshape(len(place), d)


def _fall(step: Step, couplings: np.ndarray, fields: np.ndarray) -> float:
    """The most by which one step may lower an entry, nats: twice what it takes out."""
    total = abs(fields[step.site]) if step.field else 0.0
    total += sum(abs(couplings[e]) for _, e in step.near)
    return 2.0 * float(total + (abs(couplings[step.edge]) if step.kind == "replace" else 0.0))


def _cuts(steps: list[Step], falls: list[float]) -> Iterator[tuple[int, int]]:
    """Pairs (first, last) of the groups: few touched bits, not too many steps, no great fall of the entries."""
    first, fall, longest = 0, 0.0, 0
    touched: set[int] = set()
    for i, step in enumerate(steps):
        more = touched | {step.slot, *(s for s, _ in step.near)}
        length = max(longest, step.bits)
        wide = length > BLOCK_BITS and len(more) > max(TOUCHED, len(step.near) + 1)
        if i > first and (wide or fall + falls[i] > GROUP_RANGE or i - first >= GROUP_STEPS):
            yield first, i
            first, more, fall, length = i, {step.slot, *(s for s, _ in step.near)}, 0.0, step.bits
        touched, fall, longest = more, fall + falls[i], length
    if steps:
        yield first, len(steps)


def _blocks(steps: list[Step], first: int, last: int) -> tuple[Blocks, dict[int, int], int]:
    """How a group cuts its vector; the place of each held bit in the buffer, untouched bits lowest; the bits in all."""
    group = steps[first:last]
    length = max(s.bits for s in group)
    before = steps[first - 1] if first else None
    if before is not None and before.kind != "sum":
        length = max(length, before.bits)
    touched = sorted({s.slot for s in group} | {b for s in group for b, _ in s.near})
    size = min(length, max(BLOCK_BITS, len(touched)))
    idle = [b for b in range(length) if b not in set(touched)]
    held = idle[: size - len(touched)] + touched
    spare = np.array(idle[size - len(touched) :], np.int64)
    run_bits = next((j for j, b in enumerate(held) if j != b), size)
    index = np.arange(1 << (size - run_bits))
    offsets = np.zeros(len(index), np.int64)
    for j, b in enumerate(held[run_bits:]):
        offsets |= ((index >> j) & 1) << b
    return Blocks(first, last, offsets, 1 << run_bits, spare), {b: j for j, b in enumerate(held)}, length


def _mixing(steps: list[Step], couplings: np.ndarray) -> np.ndarray:
    """t[s, o] of every step, shape (s, 4)."""
    kinds = {"add": (1.0, 1.0, 1.0, 1.0), "sum": (1.0, 1.0, 0.0, 0.0), "multiply": (1.0, 0.0, 0.0, 1.0)}
    t = np.array([kinds.get(s.kind, (0.0,) * 4) for s in steps]).reshape(-1, 4)
    bound = np.array([i for i, s in enumerate(steps) if s.kind == "replace"], np.int64)
    theta = couplings[[steps[i].edge for i in bound]][:, None]
    t[bound] = np.exp(theta * np.array([1.0, -1.0, -1.0, 1.0]) - np.abs(theta))
    return t


def _keys(near: list[int]) -> int:
    """States of a step's neighbours."""
    return 1 << len(near)


# s = ±1 of d neighbours in each state of the key, shape (2^d, d)
SIGNS = [1.0 - 2.0 * ((np.arange(1 << d)[:, None] >> np.arange(d)) & 1) for d in range(MOST_NEAR + 1)]


def _log_range(steps: list[Step], couplings: np.ndarray, reach: np.ndarray, strength: np.ndarray) -> float:
    """A bound on the log of the ratio of two entries: the vector's by what its spins met, the dual's by the rest.

    **Arguments:** `strength` (n,), |field| + Σ |coupling| of each site.
    """
    met = np.zeros(len(reach))
    holder: dict[int, int] = {}
    past = whole = most = 0.0
    for step in steps:
        if step.kind in ("sum", "replace"):
            past, whole = past - met[step.old], whole - strength[step.old]
        if step.kind != "sum":
            if step.kind != "multiply":
                whole += strength[step.site]
            links = [(holder[slot], e) for slot, e in step.near]
            gain = reach[step.site] * step.field + sum(abs(couplings[e]) for _, e in links)
            gain += abs(couplings[step.edge]) if step.kind == "replace" else 0.0
            met[step.site] += gain
            past += gain
            for site, e in links:
                met[site] += abs(couplings[e])
                past += abs(couplings[e])
            holder[step.slot] = step.site
        most = max(most, past, whole - past)
    return 2.0 * float(most)
