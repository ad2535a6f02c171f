"""Trial densities for a posterior, from the simplest up: each assessed by a few fresh draws.

    Gaussian      at every mode that counts, joined into a mixture if there are several
    conditional   the same, bending with the coordinates that govern the others
    nested        a law of the governing coordinates, and the Gaussian of the others given those (`nested_laplace.py`)
    population    its first coordinates adapted to its own importance weights, towards the least KL(p ‖ q)
    flow          an autoregressive flow on top of the conditional Gaussian (with the extra `flows`)
    tempered      population Monte Carlo over all coordinates, from a wide start

Proves nothing. Costs seconds for d ≤ 100 where a log weight costs microseconds.
"""

import math
from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from calipers.core.method import Limits
from calipers.variational.approximation import AbstractApproximation, Elliptical, Mixture
from calipers.variational.assessment import Assessment, assess
from calipers.variational.conditional import Conditional, Headed, standard, straight
from calipers.variational.fitting import fit_conditional, fit_gaussian
from calipers.variational.flow import Flow
from calipers.variational.modes import Mode, find_modes, unseen, wide_start
from calipers.variational.nested_laplace import fit_nested
from calipers.variational.population import adapt, adapt_weights, polish
from calipers.variational.target import Target

_LOOK, _GLANCE = 8192, 1024  # fresh draws to compare trial densities, and parts of them, by
_STARTS, _MOST_STARTS = 16, 256
_SURE = 0.02  # chance of a new mode with which no more starts are made
_FULL = 200  # dimensions up to which covariances are full, and means and scales bend
_RANK = 10  # beyond
_HEAD = 6  # coordinates whose law is adapted
_APART = 1.5  # deviations, root mean square over coordinates, between the means of two fits of one mode
_NEGLIGIBLE = 15.0  # nats
_FLOWING = 100  # dimensions up to which a flow is tried, where flowjax is installed
_FLOW_SECONDS = 30.0  # left, below which none is begun: it takes ten to compile
_PATIENCE = 0.15  # of the time, that a nested Laplace approximation may take
_EXACT = 0.98  # of the draws, from which the weights hardly vary and need no wider tails
_TEMPERED = 40  # dimensions up to which everything is adapted


class Candidate(NamedTuple):
    """A trial density, what it is worth, the plain fit that it rests on, and the humps that were found."""

    name: str
    found: Assessment
    plain: Assessment
    humps: int


class Part(NamedTuple):
    """A Gaussian, its fresh ELBO, and E_q[log p̃]."""

    q: Elliptical
    elbo: float
    typical: float


class Modes(NamedTuple):
    """Maxima, and the chance that one more start would find another."""

    modes: list[Mode]
    unseen: float


def look_for_modes(target: Target, random: np.random.Generator) -> Modes:
    """More starts while many of them end where no other did (Good–Turing), if there are several modes at all."""
    starts = _STARTS
    while True:
        modes = find_modes(target, random, starts=starts)
        missing = unseen(modes) if len(modes) > 1 else 0.0
        if missing <= _SURE or starts >= _MOST_STARTS:
            return Modes(modes, missing)
        starts *= 4


def gaussians(target: Target, modes: list[Mode], random: np.random.Generator) -> list[Part]:
    """A fit from every mode and from the origin; those of one hump are one, those without weight are left out."""
    d = target.dimension
    rank: str | int = "full" if d <= _FULL else _RANK
    starts = [Elliptical(np.zeros(d), np.ones(d)), *(mode.laplace for mode in modes)]
    parts = [_part(target, fit_gaussian(target, start, random, rank).q, random) for start in starts]
    parts = sorted((p for p in parts if np.isfinite(p.elbo)), key=lambda p: -p.elbo)
    kept: list[Part] = []
    for part in parts:
        if part.elbo < parts[0].elbo - _NEGLIGIBLE:
            break
        if all(_apart(target, part, other) for other in kept):
            kept.append(part)
    return kept


def _part(target: Target, q: Elliptical, random: np.random.Generator) -> Part:
    """With the fresh ELBO: the training objective may be fooled by its draws."""
    u, logs = q.draw(random, _GLANCE)
    values = target.values(u)
    return Part(q, float((values - logs).mean()), float(values.mean()))


def _apart(target: Target, a: Part, b: Part) -> bool:
    """Whether two fits are of two humps: their means are apart, and log p̃ dips on the way."""
    step = a.q.mean - b.q.mean
    z = [step * q.inverse if q.factor.ndim == 1 else q.inverse @ step for q in (a.q, b.q)]
    if min(float(np.sqrt(np.mean(v * v))) for v in z) < _APART:
        return False
    logs = target.values(b.q.mean + np.linspace(0.0, 1.0, 17)[:, None] * step)
    return bool(logs.min() < max(min(logs[0], logs[-1]) - 1.0, min(a.typical, b.typical) - 3.0))


def candidates(
    target: Target, modes: list[Mode], random: np.random.Generator, limits: Limits = Limits()
) -> Iterator[Candidate]:
    """Better and better trial densities; whoever reads them stops when one will do."""
    fits = gaussians(target, modes, random)
    if not fits:
        return
    weights = _weights(fits)
    plain = assess(target, _joined([f.q for f in fits], weights), random, _LOOK)
    if plain.share > _EXACT and plain.k_hat < 0.5:
        yield Candidate("Gaussian", plain, plain, len(fits))
        return
    defended = assess(target, _defended([f.q for f in fits], weights), random, _LOOK)
    yield Candidate("Gaussian", defended, plain, len(fits))
    if len(fits) == 1 and target.dimension <= _FULL:
        bent = fit_conditional(target, fits[0].q, random).q
        other = assess(target, bent, random, _LOOK)
        start = bent if other.elbo > plain.elbo - 0.01 else straight(fits[0].q)
        plain = max(plain, other, key=lambda a: a.elbo)
        defended = assess(target, _wary(bent), random, _LOOK)
        yield Candidate("conditional Gaussian", defended, plain, 1)
        adapted, _ = adapt(target, start, random, head=min(_HEAD, target.dimension))
        yield Candidate("population Monte Carlo", assess(target, adapted, random, _LOOK), plain, 1)
        nested = fit_nested(target, fits[0].q, bent, random, _PATIENCE * limits.seconds_left())
        if nested is not None:
            yield Candidate("nested Laplace", assess(target, nested, random, _LOOK), plain, 1)
        if find_spec("flowjax") and target.dimension <= _FLOWING and limits.seconds_left() > _FLOW_SECONDS:
            flow, _ = Flow().fitted(target, start, random, limits)
            found = assess(target, flow, random, _LOOK)
            yield Candidate("normalizing flow", found, max(plain, found, key=lambda a: a.elbo), 1)
    if len(fits) > 1:
        mixture = adapt_weights(target, _wary_mixture([f.q for f in fits], _weights(fits)), random, _LOOK)
        yield Candidate("mixture of Gaussians", assess(target, mixture, random, _LOOK), plain, len(fits))
        polished = polish(target, mixture, random, 4 * _LOOK)
        yield Candidate("mixture of t, adapted", assess(target, polished, random, _LOOK), plain, len(fits))
    if target.dimension <= _TEMPERED:
        yield from _tempered(target, random, plain, len(fits))


def _weights(parts: list[Part]) -> np.ndarray:
    return np.array([math.exp(part.elbo - parts[0].elbo) for part in parts])


def _tempered(target: Target, random: np.random.Generator, plain: Assessment, humps: int) -> Iterator[Candidate]:
    """Population Monte Carlo over everything, from as wide as the starting points are."""
    d, wide = target.dimension, wide_start(target.model, random)
    for components, draws in ((6, 8192), (20, 16384)):
        adapted, _ = adapt(
            target, straight(wide), random, head=d, components=components, draws=draws, rounds=30, patience=5
        )
        yield Candidate("tempered population Monte Carlo", assess(target, adapted, random, _LOOK), plain, humps)


def _joined(parts: list[Elliptical], weights: np.ndarray) -> AbstractApproximation:
    return parts[0] if len(parts) == 1 else Mixture(weights, tuple(parts))


def _defended(parts: list[Elliptical], weights: np.ndarray) -> Mixture | Conditional:
    """The same with a tenth or more of its draws from wider tails."""
    return _wary(straight(parts[0])) if len(parts) == 1 else _wary_mixture(parts, weights)


def _wary_mixture(parts: list[Elliptical], weights: np.ndarray) -> Mixture:
    wider = [q.widened(1.2, 5.0) for q in parts]
    return Mixture(np.concatenate([0.9 * weights, 0.1 * weights]), (*parts, *wider))


def _wary(q: Conditional) -> Conditional:
    """A fifth of the draws from wider tails, of the first coordinates and of all."""
    d, h = q.dimension, min(q.dimension, _HEAD)
    laws = (standard(d), Headed(standard(h, 1.3, 5.0), d - h), standard(d, 1.05, 5.0))
    return q.with_base(Mixture(np.array([0.8, 0.1, 0.1]), laws))
