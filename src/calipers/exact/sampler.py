"""Where an exact engine that can draw from p(x) plugs in: it registers one function, beside its method.

    @sampler.register
    def my_sampler(method: MyEngine, model, limits) -> ExactSampler: …

It does its work once (a forward pass, a factorisation) and returns a function that draws.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from calipers.core.answer import Answer
from calipers.core.method import Limits, Refusal
from calipers.core.model import AbstractDiscreteModel


class ExactSampler(NamedTuple):
    """What an exact engine has found out about a model: `draw(count, generator)` gives independent samples of it.

    `draw` returns states of the original variables, shape (count, n), or fewer rows if its limits say so; `answer` is
    log Z, which an engine knows too; `at_once` is how many states (samples × n) a call should give: many, for an engine
    that starts anew at each call.
    """

    draw: Callable[[int, np.random.Generator], np.ndarray]
    answer: Answer
    at_once: int = 1 << 22


@functools.singledispatch
def sampler(method: Any, model: AbstractDiscreteModel, limits: Limits = Limits()) -> ExactSampler:
    """The exact sampler of an engine, ready to draw.

    **Raises:** `Refusal` when the method has none, or will not take this model under these limits.
    """
    raise Refusal(
        f"{method!r} draws no exact samples; use Elimination(), TransferMatrix(), Planar() or PerfectSampling()"
    )


def state_type(model: AbstractDiscreteModel) -> Any:
    """The smallest signed integer type that holds every state."""
    most = int(max(model.domains, default=1))
    return next(t for t in (np.int8, np.int16, np.int32, np.int64) if most - 1 <= np.iinfo(t).max)
