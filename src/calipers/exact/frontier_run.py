"""Runs a frontier program: log Z forwards, moments backwards with checkpoints, exact samples backwards.

`dual` is the vector pulled back from the end: Σ vector · dual = Z at every step, so that the weights of a step's own
spins are sums of products. Only some vectors are kept, the others computed again: with r of them per level a run of g
groups repeats its forward pass log_r g times; r = √g needs 2√g vectors and one repetition.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from calipers.exact import frontier_kernels as kernels
from calipers.exact.frontier_program import Program

_ALONE = 64  # blocks: fewer are not worth a second thread


class Run:
    """The vector of one program, `threads` workers, and `kept` vectors that may be held a level of the recursion."""

    def __init__(self, program: Program, threads: int = 1, kept: int = 0):
        self.program, self.threads = program, threads
        groups = len(program.groups)
        self.kept = max(2, min(kept or groups, math.isqrt(max(groups - 1, 0)) + 1))
        self.vector = np.zeros(1 << max(program.bits, default=0))
        self.vector[0] = self.top = 1.0
        self.length = 1
        self.exponent = 0

    def forward(self) -> float:
        """log Z of the program, in nats."""
        for g in range(len(self.program.groups)):
            self._advance(g)
        return self.program.log_scale + self.exponent * math.log(2.0) + math.log(self.vector[0])

    def _advance(self, g: int) -> None:
        """One group forwards, the vector scaled to a largest entry between 1/2 and 1."""
        self._fit(1 << self.program.bits[g])
        shift = math.frexp(self.top)[1]
        scale = math.ldexp(1.0, -shift)
        self.exponent += shift
        blocks = self.program.groups[g]
        work = (self.vector[: self.length], scale, self.program.steps, blocks)
        self.top = max(self._share(blocks, lambda start, stop: kernels.forward(*work, start, stop)))

    def _fit(self, length: int) -> None:
        """Makes the vector `length` long; entries of free bits are zero."""
        if length > self.length:
            self.vector[self.length : length] = 0.0
        self.length = length

    def _share(self, blocks: kernels.Blocks, work: Callable[[int, int], Any]) -> list[Any]:
        """Does `work(start, stop)` on shares of the blocks."""
        count = 1 << len(blocks.spare)
        if self.threads == 1 or count < _ALONE:
            return [work(0, count)]
        ends = [count * k // self.threads for k in range(self.threads + 1)]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(work, ends[:-1], ends[1:]))

    def joints(self) -> np.ndarray:
        """The weights of each step's spins, rows as `steps.factor`, columns 2 new + old; they add up to 1 a step."""
        steps = self.program.steps
        joint = np.zeros((len(steps.factor), 4))
        dual = np.zeros(len(self.vector))
        dual[0] = 1.0
        state = {"top": 1.0}

        def pull(g: int) -> None:
            self._fit(1 << self.program.bits[g])
            blocks = self.program.groups[g]
            scale = math.ldexp(1.0, -math.frexp(state["top"])[1])

            def work(start: int, stop: int) -> tuple[float, np.ndarray]:
                own = np.zeros_like(joint[lo:hi]) if self.threads > 1 else joint[lo:hi]
                moved = steps._replace(factor_ptr=steps.factor_ptr - lo, factor=steps.factor[lo:hi])
                halves = self.vector[: self.length], dual[: self.length]
                return kernels.backward(*halves, scale, moved, blocks, start, stop, own), own

            lo, hi = steps.factor_ptr[blocks.first], steps.factor_ptr[blocks.last]
            parts = self._share(blocks, work)
            if self.threads > 1:
                joint[lo:hi] = sum(own for _, own in parts)
            state["top"] = max(top for top, _ in parts)

        self.backwards(pull)
        totals = np.add.reduceat(joint.sum(axis=1), steps.factor_ptr[:-1]) if len(joint) else np.zeros(0)
        return joint / np.repeat(totals, np.diff(steps.factor_ptr))[:, None]

    def backwards(self, visit: Callable[[int], None]) -> None:
        """Calls `visit(g)` from the last group to the first, each time with the vector as it was before group g."""
        start = np.array([1.0])
        self._restore(start, 1.0)
        self._backwards(0, len(self.program.groups), start, 1.0, visit)

    def _restore(self, vector: np.ndarray, top: float) -> None:
        self.vector[: len(vector)] = vector
        self.length, self.top = len(vector), top

    def _backwards(self, low: int, high: int, start: np.ndarray, top: float, visit: Callable[[int], None]) -> None:
        """`visit` on groups high − 1 … low; `start` is the vector before group `low`."""
        if high - low <= 1:
            if high > low:
                self._restore(start, top)
                visit(low)
            return
        step = -(-(high - low) // self.kept)
        firsts = list(range(low, high, step))
        saved = [(start, top)]
        self._restore(start, top)
        for g in range(low, firsts[-1]):
            self._advance(g)
            if g + 1 in firsts:
                saved.append((self.vector[: self.length].copy(), self.top))
        for first in reversed(firsts):
            vector, top = saved.pop()
            self._backwards(first, min(first + step, high), vector, top, visit)

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` independent configurations of spins ±1, shape (count, n); clamped sites are left at 0."""
        program = self.program
        spins = np.zeros((count, 1 + max((s.site for s in program.sweep.steps), default=-1)), np.int8)
        states = np.zeros(count, np.int64)

        def visit(g: int) -> None:
            self._fit(1 << program.bits[g])
            blocks, held = program.groups[g], program.held[g]
            block, inside = _bits_at(states, blocks.spare), _bits_at(states, held)
            made = np.empty((count, blocks.last - blocks.first), np.int8)
            uniform = rng.random(made.shape)
            rank = np.argsort(block, kind="stable")
            kernels.draw(self.vector[: self.length], program.steps, blocks, block, inside, rank, uniform, made)
            states[:] = _spread(block, blocks.spare) | _spread(inside, held)
            for k, step in enumerate(program.sweep.steps[blocks.first : blocks.last]):
                if step.kind in ("add", "replace"):
                    spins[:, step.site] = 1 - 2 * made[:, k]

        self.backwards(visit)
        return spins


def _bits_at(states: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Gathers the bits of `states` at `places` into the low bits."""
    out = np.zeros_like(states)
    for j, place in enumerate(places):
        out |= ((states >> place) & 1) << j
    return out


def _spread(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The inverse of `_bits_at`."""
    out = np.zeros_like(values)
    for j, place in enumerate(places):
        out |= ((values >> j) & 1) << place
    return out
