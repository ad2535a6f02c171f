"""Overlapping strips: an upper bound on log Z of lattices, in two dimensions, three or more.

    log Z ≤ Σ_r Φ_{w_r}(θ_r)      over all translates r of a strip (2D), a tube (3D), …, swept along the longest side

Fields, couplings and weights are shared out between the strips that hold a site or an edge, and improved by gradient
steps. **Proves** an upper bound at every step; log Z itself when one strip holds the whole lattice. **Cost** 2^width
entries a site and strip, about 8 ns each and step. **Fails** to be tight when correlations reach much further than the
width. **Source** Wainwright, Jaakkola & Willsky 2005; Globerson & Jaakkola 2007; Theorem 11 of docs/theorems.md.
"""

import math
import time
from collections.abc import Generator, Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.bounds.cover_lattice import (
    is_strippable,
    least_width,
    most_width,
    strips,
    sweep_rank,
    whole_width,
    widths,
)
from calipers.bounds.region import Regions
from calipers.bounds.region_descent import RATE, WARM_RATE, Bound, descend
from calipers.bounds.region_layout import Pairs, second_neighbours
from calipers.bounds.region_widening import widened
from calipers.bounds.region_witness import witness
from calipers.core.answer import Answer, Grounds, Result, Side, exact_sides, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.kernels import ULP
from calipers.models.ising import Ising, require_magnet
from calipers.models.lattices import Lattice

SECONDS_PER_ENTRY, SECONDS_PER_SLOT = 1e-8, 4e-7  # of a gradient step, on one 2026 core; only plans depend on them
_MUCH = 6.0  # times the cost of a step
_HOPE = 0.15  # of what the last widening brought, the next one may bring as much
_GAIN = 1e-4  # nats that doubling the steps must bring
_FEWEST = 20  # steps below which a wider strip is not worth beginning


class Strips(AbstractMethod):
    """An upper bound from overlapping strips of a lattice.

    **Arguments:** `width`, sites across a strip, or None to grow it while time and memory last; `steps`, gradient steps
    at each width.

    **Proves** an upper bound for `Ising` models on lattices. **Raises** `Refusal` for other models, and for a width
    that cannot hold a bond in every direction.
    """

    proves: ClassVar[Proves] = Proves.UPPER
    width: int | None = None
    steps: int = 100

    def __check_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise ValueError(f"width is {self.width}; a strip is at least one site wide")
        if self.steps < 0:
            raise ValueError(f"steps is {self.steps}; it cannot be negative")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Says how wide strips can be; they are laid out one width at a time."""
        otherwise = "Strips() covers magnets on lattices; use MiniBucket() or Pairs() for other models"
        magnet = require_magnet(model, otherwise)
        if not is_strippable(magnet):
            raise Refusal(otherwise)
        lattice = lattice_of(magnet)
        least, most = least_width(lattice), most_width(lattice)
        width = least if self.width is None else min(self.width, whole_width(lattice))
        if width < least:
            raise Refusal(f"strips of this lattice are at least {least} sites wide, not {width}")
        bytes, seconds = _needs(lattice, width)
        if bytes > limits.memory or seconds > limits.seconds_left():
            raise Refusal(f"strips {width} wide need {bytes / 1e9:.2g} GB and {seconds:.2g} s a step")
        text = f"from {least} to at most {most}" if self.width is None else f"of {width}"
        return Plan(f"Overlapping strips, widths {text} sites, {self.steps} steps each.", limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Ever wider strips; when no wider ones fit the time, further steps at the last width."""
        assert isinstance(model, Ising)
        pairs = Pairs.of(model.n, model.edges, second_neighbours(model.n, model.edges))
        lattice, rank, before, slower = lattice_of(model), sweep_rank(lattice_of(model)), math.inf, 1.0
        ladder = [*self._widths(lattice)]
        regions, last = None, None
        for width, wider in zip(ladder, [*ladder[1:], None], strict=True):
            steps = self._steps(lattice, width, plan.limits, slower)
            if last is not None and steps < min(_FEWEST, self.steps):
                break
            began, narrow = time.monotonic(), regions
            regions, at = Regions(model, pairs, rank, strips(lattice, pairs, width)), width
            free = None if narrow is None or last is None else widened(narrow, last.split, regions)
            for last in descend(regions, *_begin(regions, free), 0 if _single(regions) else steps):
                yield self._answer(regions, at, last, plan)
            if _single(regions) or self.width is not None:
                return
            assert last is not None
            slower = (time.monotonic() - began) / (_needs(lattice, width)[1] * (steps + 1))
            if wider is not None and math.isfinite(before) and _leap(lattice, width, wider):
                last = yield from self._stay(regions, (width, wider), (before, last), plan, slower)
            before = last.value
        assert regions is not None
        assert last is not None
        yield from self._refined(regions, at, last, plan)

    def _stay(
        self, regions: Regions, ladder: tuple[int, int], bounds: tuple[float, Bound], plan: Plan, slower: float
    ) -> Generator[Answer, None, Bound]:
        """Further steps at one width while they promise more for their time than wider strips; the last bound."""
        (width, wider), (before, last), lattice = ladder, bounds, lattice_of(regions.model)
        while self._steps(lattice, wider, plan.limits, slower) >= _FEWEST:
            start, began = last, time.monotonic()
            for last in descend(regions, start.free, WARM_RATE, 2 * self.steps):
                yield self._answer(regions, width, last, plan)
            cost = slower * _needs(lattice, wider)[1] * self.steps / (time.monotonic() - began)
            if (start.value - last.value) * cost <= _HOPE * (before - last.value):
                break
        return last

    def _refined(self, regions: Regions, width: int, last: Bound, plan: Plan) -> Iterator[Answer]:
        """Ever longer descents at one width, until they bring nothing."""
        steps, before = self.steps, math.inf
        while steps > 0 and math.isfinite(plan.limits.deadline) and last.value < before - _GAIN:
            steps, before = 2 * steps, last.value
            for last in descend(regions, last.free, WARM_RATE, steps):  # noqa: B020
                yield self._answer(regions, width, last, plan)

    def _widths(self, lattice: Lattice) -> Iterator[int]:
        """The widths to climb, the last of which holds everything; or the one that was asked for."""
        yield from widths(lattice) if self.width is None else (min(self.width, whole_width(lattice)),)

    def _steps(self, lattice: Lattice, width: int, limits: Limits, slower: float) -> int:
        """Steps that fit the time and memory left, at most as many as asked, if each takes `slower` than expected."""
        bytes, seconds = _needs(lattice, width)
        if self.width is not None or bytes > limits.memory:
            return self.steps if self.width is not None else 0
        return int(min(self.steps, max(0.0, 0.8 * limits.seconds_left()) / (slower * seconds)))

    def _answer(self, regions: Regions, width: int, bound: Bound, plan: Plan) -> Answer:
        model = regions.model
        value = bound.value - model.beta * model.offset
        error = bound.error + ULP * (abs(value) + 2.0 * abs(model.beta * model.offset))
        name, proof = repr(Strips(width, self.steps)), lambda: witness(regions, bound.split)
        count = sum(len(g.sites) for g in regions.groups)
        stats = {"width": width, "steps": bound.step, "strips": count, "cells": regions.cells}
        if _single(regions):
            lower, upper = exact_sides(value, error, name, proof)
            return Answer(lower, upper, value=value, result=Result.EXACT, stats=stats, plan=plan)
        upper = Side(outward(value, error, 1.0), Grounds.COMPUTED, method=name, witness=proof)
        return Answer(upper=upper, stats=stats, plan=plan)


def lattice_of(model: Ising) -> Lattice:
    """The lattice that `plan` has made sure of."""
    assert model.lattice is not None
    return model.lattice


def _needs(lattice: Lattice, width: int) -> tuple[float, float]:
    """Bytes, and seconds a step, of strips of this width, before anything is laid out."""
    across = min(width, most_width(lattice))
    sites = float(lattice.n) * (across if across < most_width(lattice) else 1)  # in all strips
    entries = 2.0 ** min(width if lattice.periodic else across, 1000)
    memory = 20.0 * lattice.n / most_width(lattice) * across * entries + 600.0 * sites
    return memory, sites * (SECONDS_PER_ENTRY * entries + SECONDS_PER_SLOT)


def _leap(lattice: Lattice, width: int, wider: int) -> bool:
    """Whether the next strips cost so much more that further steps at this width may be better: in three dimensions."""
    return _needs(lattice, wider)[1] > _MUCH * _needs(lattice, width)[1]


def _begin(regions: Regions, free: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Where to begin, and with which rate: from narrower strips if there were any, else from equal shares."""
    return (regions.start(), RATE) if free is None else (free, WARM_RATE)


def _single(regions: Regions) -> bool:
    """Whether every site is in one region only, and every edge: then all weights are 1 and Φ is log Z."""
    return len(regions.site_of) == regions.model.n
