"""The transfer matrix: exact log Z, moments and samples of magnets on strips, cylinders and other narrow graphs.

    v_{t+1}(s, rest) = e^{θ_s s + Σ θ_ss' s'} Σ_o e^{θ_so s o} v_t(o, rest)

One spin is added and one summed out at a time, in place on a vector over the states of the frontier (Binder 1972;
Nightingale 1990): w spins for a square strip of width w, open or periodic across, any couplings and fields.

**Proves** log Z, both sides, with a stated rounding error; exact ⟨s_i⟩ and ⟨s_i s_j⟩; exact independent samples.
**Cost** about 0.3 ns a state and site on one core, 2^bits float64 of memory; moments five times the work and 2√groups
vectors. Where memory is short, spins are clamped and their states summed over. **Fails** by refusing, with the
estimate, wide models, and those so cold that weights of frontier states differ by more than float64 holds. **Source**
Kramers & Wannier 1941; Binder, *Physica* 62 (1972) 508.
"""

import dataclasses
import math
import os
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.core.answer import Answer, Belief, Grounds, Result, exact_sides
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_tree import BucketTree
from calipers.exact.elimination import elimination_witness
from calipers.exact.frontier import Sweep, best_sweep
from calipers.exact.frontier_passes import ULP, Passes
from calipers.exact.frontier_program import MOST_RANGE
from calipers.exact.sampler import ExactSampler, sampler
from calipers.models.ising import Ising
from calipers.models.reduction import as_reduced

SECONDS_PER_CELL, SECONDS_PER_STEP = 6e-10, 2e-5  # measured on one 2026 core; only plans depend on it
BACKWARD = 5.0  # moments cost this many forward passes


class TransferMatrix(AbstractMethod):
    """Exact log Z of a magnet by a sweep over its frontier.

    **Arguments:** `most_bits`, the longest vector that is tried is 2^most_bits; `threads` for long vectors, None for
    every core.

    **Proves** both sides exactly. **Raises** `Refusal` with the estimate when too large for the limits.
    """

    proves: ClassVar[Proves] = Proves.EQUAL
    most_bits: int = 28
    threads: int | None = None

    def __check_init__(self) -> None:
        if not 1 <= self.most_bits <= 40 or (self.threads is not None and self.threads < 1):
            raise ValueError(f"most_bits is from 1 to 40 and threads at least 1, but {self!r} came")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Chooses a sweep; refuses what does not fit."""
        magnet = as_magnet(model)
        fewest = _vectors(2, magnet.n) if limits.beliefs else 1.0
        room = max(1, min(self.most_bits, math.floor(math.log2(max(limits.memory / (8.0 * fewest), 2.0)))))
        sweep = best_sweep(magnet.n, magnet.edges, magnet.lattice, room, not magnet.fields.any())
        passes = 2.0 ** max(0, len(sweep.clamped) - (not magnet.fields.any()))
        work = BACKWARD + 1.0 if limits.beliefs else 1.0
        seconds = work * (sweep.cells * SECONDS_PER_CELL + passes * len(sweep.order) * SECONDS_PER_STEP)
        size = f"vectors of 2^{sweep.bits}, {passes:.3g} pass(es), about {seconds:.2g} s"
        if math.isinf(seconds):
            raise Refusal(f"the frontier has {sweep.bits} spins; vectors of 2^{room} are allowed")
        if seconds > limits.seconds_left():
            raise Refusal(f"the sweep would not finish in time: {size}, {limits.seconds_left():.3g} s left")
        kept = _kept(magnet.n, limits.memory / (8.0 * 2.0**sweep.bits)) if limits.beliefs else 2
        there = 8.0 * 2.0**sweep.bits * (_vectors(kept, magnet.n) if limits.beliefs else 1.0)
        text = f"Sweep a frontier over {magnet.n} spins exactly: {size}, {there / 1e6:.3g} MB."
        built = Passes.build(magnet, sweep, self.threads or _cores(), kept)
        if built.program.log_range > MOST_RANGE:
            raise Refusal(
                f"weights of frontier states may differ by e^{built.program.log_range:.0f}, more than float64 holds "
                f"(e^{MOST_RANGE:.0f}); use Elimination(), which works in log space"
            )
        return Plan(text, (magnet, built), float(sweep.bits), sweep.cells, there, limits, seconds)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One exact answer."""
        magnet, passes = plan.structure
        belief = None
        if plan.limits.beliefs:
            value, error, mean, correlation = passes.moments()
            belief = magnet_belief(model, magnet, mean, correlation)
        else:
            value, error, _ = passes.log_z()
        constant = magnet.beta * magnet.offset
        size = float(np.abs(passes.couplings).sum() + np.abs(passes.fields).sum() + abs(constant))
        value -= constant
        error += ULP * (4.0 * size + 2.0 * abs(value)) + recognition_error(model)
        lower, upper = exact_sides(value, error, repr(self), lambda: _witness(model, passes.program.sweep))
        stats = {"bits": int(plan.log2_size), "passes": passes.passes, "cells": plan.cells, "bytes": plan.bytes}
        yield Answer(lower, upper, value=value, belief=belief, result=Result.EXACT, stats=stats, plan=plan)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _vectors(kept: int, n: int) -> float:
    """The most vectors that moments hold at once: two, and `kept` at each level of the recursion over the groups."""
    return 3.0 + kept * max(1, math.ceil(math.log(max(n, 2), kept)))


def _kept(n: int, room: float) -> int:
    """How many vectors to keep a level: √n of them are enough, and `room` for all."""
    return next((k for k in range(math.isqrt(n) + 2, 2, -1) if _vectors(k, n) <= room), 2)


def as_magnet(model: AbstractDiscreteModel) -> Ising:
    """The model as an Ising magnet. **Raises** `Refusal` when it is not one."""
    if isinstance(model, Ising):
        return model
    try:
        return Ising.from_factor_graph(model.factor_graph())
    except ValueError as reason:
        raise Refusal(f"this method is for Ising magnets: {reason}") from reason


def recognition_error(model: AbstractDiscreteModel) -> float:
    """What log Z may have lost, nats, when couplings, fields and offset were read off the tables of a factor graph."""
    if isinstance(model, Ising):
        return 0.0
    tables = model.factor_graph().log_tables()
    return 16.0 * ULP * (math.fsum(float(np.abs(t).max(initial=0.0)) for t in tables) + len(tables))


@sampler.register
def frontier_sampler(method: TransferMatrix, model: AbstractDiscreteModel, limits: Limits = Limits()) -> ExactSampler:
    """Draws backwards through the sweep, which is repeated for every call."""
    plan = method.plan(model, Limits(deadline=limits.deadline, memory=limits.memory, beliefs=True))
    passes = plan.structure[1]
    answer = next(method.answers(model, dataclasses.replace(plan, limits=limits)))
    return ExactSampler(lambda n, rng: ((1 - passes.sample(n, rng)) // 2).astype(np.int8), answer, 1 << 27)


def magnet_belief(model: AbstractDiscreteModel, magnet: Ising, mean: np.ndarray, correlation: np.ndarray) -> Belief:
    """Tables of the model's variables and factors from the moments of its spins."""
    sign = np.array([1.0, -1.0])
    single = tuple(np.clip((1.0 + m * sign) / 2.0, 0.0, 1.0) for m in mean)
    joint = {(i, j): c for (i, j), c in zip(magnet.edges.tolist(), correlation, strict=True)}

    def table(scope: tuple[int, ...]) -> np.ndarray:
        if len(scope) < 2:
            return single[scope[0]] if scope else np.ones(())
        i, j = scope
        c = joint[min(i, j), max(i, j)]
        pair = 1.0 + mean[i] * sign[:, None] + mean[j] * sign + c * np.outer(sign, sign)
        return np.clip(pair / 4.0, 0.0, 1.0)

    return Belief(single, tuple(table(scope) for scope in model.factor_graph().scopes), Grounds.EXACT)


def _witness(model: AbstractDiscreteModel, sweep: Sweep) -> Any:
    """The sweep as an elimination order, clamped spins last: what the checker repeats."""
    reduced = as_reduced(model)
    place = {int(v): i for i, v in enumerate(reduced.variables)}
    gone = [s.old for s in sweep.steps if s.kind in ("replace", "sum")]
    order = np.array([place[v] for v in (*gone, *sweep.clamped) if v in place], np.int64)
    tree = BucketTree.build(reduced.model.domains, list(reduced.model.scopes), order, keep=False)
    return elimination_witness(reduced, tree)
