"""The bounding methods that suit a model, as streams of answers, cheapest first.

Which are worth running depends on size, signs, structure and on whether failure with probability δ is allowed; a
method that refuses the model drops out when its turn comes.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from calipers.auto.schedule import Stream
from calipers.bounds.annealed import AnnealedImportance
from calipers.bounds.bidirectional import BidirectionalAnnealing
from calipers.bounds.clamping import Clamping
from calipers.bounds.log_determinant import LogDeterminant
from calipers.bounds.mini_bucket import MiniBucket
from calipers.bounds.pairs import Pairs
from calipers.bounds.proposal import ImportanceSampling
from calipers.bounds.recognised import about_whole
from calipers.bounds.region_bethe import RegionBethe
from calipers.bounds.search import Search
from calipers.bounds.strips import Strips
from calipers.bounds.structured_mean_field import StructuredMeanField
from calipers.bounds.tangent import Tangent
from calipers.core.answer import Answer
from calipers.core.method import AbstractMethod, Limits, Refusal
from calipers.exact.exchangeable import Exchangeable
from calipers.exact.feasible import has_zeros
from calipers.models.ising import Ising
from calipers.models.recognition import as_ising, on_grid
from calipers.models.reduction import Reduced
from calipers.variational.bethe import Bethe
from calipers.variational.mean_field import MeanField

FIRST = (Exchangeable(), MiniBucket(ibound=4, sweeps=3, orders=1), Tangent(width=4, starts=1, sweeps=5))
VAST = (Pairs(), MeanField(starts=3))  # vectorised: for magnets of any size
_DENSE = 6.0  # bonds a spin from which the log-determinant is worth its matrix
_OPENING = {MiniBucket: 0.3, Tangent: 0.15}  # of the time left: small tables say little, and gain little each
_SEARCHED, _SEARCHED_MAGNET = 60.0, 40.0  # log2 of a largest table up to which searches are tried


def first_bracket(model: Any, limits: Limits, key: Any) -> Iterator[Answer]:
    """Quick bounds on both sides; log Z itself when the variables are much alike."""
    for method in FIRST:
        yield from stream(method, model, limits, key).answers


def deterministic(model: Any, reduced: Reduced, log2_size: float, limits: Limits, key: Any) -> list[Stream]:
    """Streams that bound at δ = 0; `log2_size` is the largest table of exact elimination."""
    of_magnets, hard = _of_magnets(model, reduced, limits, key), has_zeros(reduced.model)
    methods: list[AbstractMethod] = [MiniBucket(sweeps=30)]
    if not of_magnets:
        methods.append(Tangent())
    if hard or log2_size <= (_SEARCHED_MAGNET if of_magnets else _SEARCHED):
        methods += [Search(), Clamping()]
    left = max(limits.seconds_left(), 0.0) if math.isfinite(limits.deadline) else 60.0
    streams = [*of_magnets, *(stream(m, reduced, limits, key, _OPENING.get(type(m), 0.0) * left) for m in methods)]
    return [*streams, Stream("Bethe()", _estimates(reduced, limits))]


def _of_magnets(model: Any, reduced: Reduced, limits: Limits, key: Any) -> list[Stream]:
    """Streams of what is known of magnets only: `model` is one, or what is left of it after reduction is."""
    magnet = model if isinstance(model, Ising) else as_ising(reduced.model)
    if magnet is None:
        return []
    magnet = on_grid(magnet)
    methods: list[AbstractMethod] = [Strips(), RegionBethe(), StructuredMeanField()]
    if len(magnet.edges) > _DENSE * magnet.n:
        methods.append(LogDeterminant())
    streams = [stream(method, magnet, limits, key) for method in methods]
    if magnet is not model and not isinstance(model, Ising):
        for found in streams:
            found.answers = about_whole(found.answers, reduced, magnet)
    return streams


def statistical(model: Any, reduced: Reduced, limits: Limits, key: Any) -> list[Stream]:
    """Streams that bound at δ, which they share; of magnets that can be sampled perfectly, both ways of annealing."""
    if limits.delta <= 0.0 or key is None:
        return []
    methods: list[tuple[AbstractMethod, Any]] = [(ImportanceSampling(), reduced)]
    if _ferromagnetic(model, limits):
        methods.insert(0, (BidirectionalAnnealing(), model))
    elif not has_zeros(reduced.model):
        methods.append((AnnealedImportance(), reduced))
    shared = dataclasses.replace(limits, delta=limits.delta / len(methods))
    return [stream(method, subject, shared, key) for method, subject in methods]


def _ferromagnetic(model: Any, limits: Limits) -> bool:
    """Whether flips of spins make a ferromagnet of the model, in fields that perfect sampling takes."""
    try:
        BidirectionalAnnealing().plan(model, limits)
    except Refusal:
        return False
    return True


def stream(method: AbstractMethod, model: Any, limits: Limits, key: Any, opening: float = 0.0) -> Stream:
    """A method's answers, less its plan: the plan that is shown is Auto's. It is laid out at the first turn."""

    def answers() -> Iterator[Answer]:
        try:
            plan = method.plan(model, limits)
            yield from planless(method.answers(model, plan, key))
        except (Refusal, MemoryError) as reason:
            yield Answer(stats={type(method).__name__: str(reason) or "memory ran out"})

    return Stream(repr(method), answers(), opening)


def planless(answers: Iterator[Answer]) -> Iterator[Answer]:
    """The same answers without their plans."""
    return (a.but(plan=None) for a in answers)


def _estimates(reduced: Reduced, limits: Limits) -> Iterator[Answer]:
    """Beliefs, and a point estimate if belief propagation converges; nothing here bounds a side."""
    method = Bethe(max_sweeps=300)
    for answer in method.answers(reduced, method.plan(reduced, limits)):
        yield Answer(value=answer.value if answer.stats["converged"] else None, belief=answer.belief)
