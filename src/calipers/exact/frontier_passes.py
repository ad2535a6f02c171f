"""Frontier sweeps of a magnet, one for each state of the clamped spins.

    Z = Σ_σ e^{c(σ)} Z(σ),      θ_i(σ) = θ_i + Σ_k θ_ik σ_k,      moments = Σ_σ p(σ) moments(σ)

Clamping k spins halves the vector up to k times at the price of 2^k passes: the work stays, the memory goes. Without
fields the first clamped spin stays up: the global flip doubles Z and makes every ⟨s_i⟩ zero.
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from calipers.exact.frontier import Sweep
from calipers.exact.frontier_program import SIGNS, Program, build_program, with_fields
from calipers.exact.frontier_run import Run
from calipers.models.ising import Ising

ULP = 2.0**-53


class Passes(NamedTuple):
    """A magnet laid out for sweeping: natural couplings and fields, and the program without fields."""

    edges: np.ndarray
    couplings: np.ndarray
    fields: np.ndarray
    program: Program
    flip: bool
    threads: int
    kept: int

    @classmethod
    def build(cls, model: Ising, sweep: Sweep, threads: int = 1, kept: int = 0) -> "Passes":
        """**Arguments:** `threads` for long vectors; `kept`, vectors held at a level of the recursion (0: √groups)."""
        couplings, fields = model.beta * model.couplings, model.beta * model.fields
        reach = np.abs(fields)
        for k in sweep.clamped:
            for here, there in ((0, 1), (1, 0)):
                at = model.edges[:, here] == k
                np.add.at(reach, model.edges[at, there], np.abs(couplings[at]))
        flip = bool(sweep.clamped) and not fields.any()
        program = build_program(sweep, model.edges, couplings, reach)
        return cls(model.edges, couplings, fields, program, flip, threads, kept)

    @property
    def clamped(self) -> tuple[int, ...]:
        """The clamped sites, in order."""
        return self.program.sweep.clamped

    @property
    def passes(self) -> int:
        """How many passes there are."""
        return 1 << (len(self.clamped) - self.flip)

    def runs(self) -> Iterator[tuple[np.ndarray, float, Run]]:
        """For each pass the states of the clamped spins, what they weigh among themselves (nats), and the run."""
        choices = [(1.0,) if self.flip and not k else (1.0, -1.0) for k in range(len(self.clamped))]
        for states in itertools.product(*choices):
            spins = np.zeros(len(self.fields))
            spins[list(self.clamped)] = states
            pull = spins[self.edges]
            fields = self.fields + sum(
                np.bincount(self.edges[:, k], self.couplings * pull[:, 1 - k], len(spins)) for k in (0, 1)
            )
            weight = self.fields @ spins + self.couplings @ pull.prod(axis=1) + self.flip * math.log(2.0)
            run = Run(with_fields(self.program, self.couplings, fields), self.threads, self.kept)
            yield np.array(states), float(weight), run

    def log_z(self) -> tuple[float, float, np.ndarray]:
        """log Z without the model's offset, its rounding error, and the weight of each pass; nats."""
        values = np.array([weight + run.forward() for _, weight, run in self.runs()])
        size = float(np.abs(self.fields).sum() + np.abs(self.couplings).sum())
        value = float(np.logaddexp.reduce(values))
        error = self.program.error + ULP * (8.0 * abs(value) + 8.0 + (4.0 * size if self.clamped else 0.0))
        return value, error + ULP * 4.0 * math.log2(len(values) + 1), np.exp(values - value)

    def moments(self) -> tuple[float, float, np.ndarray, np.ndarray]:
        """log Z and its error as in `log_z`, ⟨s_i⟩ (n,) and ⟨s_i s_j⟩ per edge (e,)."""
        value, error, weights = self.log_z()
        mean, correlation = np.zeros(len(self.fields)), np.zeros(len(self.edges))
        for share, (states, _, run) in zip(weights, self.runs(), strict=True):
            m, c = spin_moments(run.program, run.joints(), len(mean), len(correlation))
            m[list(self.clamped)] = states
            fixed = np.isin(self.edges, self.clamped).any(axis=1)
            c[fixed] = m[self.edges[fixed]].prod(axis=1)
            mean += share * m
            correlation += share * c
        return value, error, np.zeros_like(mean) if self.flip else mean, correlation

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` independent exact samples of spins ±1, shape (count, n), int8."""
        shares = self.log_z()[2]
        counts = rng.multinomial(count, shares / shares.sum())
        found = np.empty((count, len(self.fields)), np.int8)
        at = 0
        for number, (states, _, run) in zip(counts, self.runs(), strict=True):
            if number:
                part = found[at : at + number]
                part[:, self.program.sweep.order] = run.sample(int(number), rng)[:, self.program.sweep.order]
                part[:, list(self.clamped)] = states
                at += number
        if self.flip:
            found *= rng.choice(np.array([1, -1], np.int8), (count, 1))
        return rng.permutation(found)


def spin_moments(program: Program, joints: np.ndarray, n: int, e: int) -> tuple[np.ndarray, np.ndarray]:
    """⟨s_i⟩ and ⟨s_i s_j⟩ per edge out of the joint weights of each step's spins; zero for clamped sites."""
    mean, correlation = np.zeros(n), np.zeros(e)
    ptr = program.steps.factor_ptr
    spin = joints @ np.array([1.0, 1.0, -1.0, -1.0])
    for i, step in enumerate(program.sweep.steps):
        part = slice(ptr[i], ptr[i + 1])
        if step.field:
            mean[step.site] = spin[part].sum()
        if step.kind == "replace":
            correlation[step.edge] = joints[part].sum(axis=0) @ np.array([1.0, -1.0, -1.0, 1.0])
        if step.near:
            correlation[[edge for _, edge in step.near]] = spin[part] @ SIGNS[len(step.near)]
    return mean, correlation
