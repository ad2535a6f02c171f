"""Exact samples of a model: the verb and what it returns.

**Proves** nothing about log Z that the engine did not; the draws are independent, so that the effective sample size
is their number. **Cost** the engine's work once, then its cost a sample. Engines plug in through `sampler.py`.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import numpy as np

from calipers.core.answer import Answer, Result
from calipers.core.method import AbstractMethod, Limits, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact import ancestral, planar_sampling  # noqa: F401  (register their samplers)
from calipers.exact.elimination import Elimination
from calipers.exact.planar import Planar
from calipers.exact.query import until
from calipers.exact.sampler import ExactSampler, sampler, state_type
from calipers.exact.transfer_matrix import TransferMatrix
from calipers.models.spins import to_spins

ENGINES: tuple[AbstractMethod, ...] = (Elimination(), TransferMatrix(), Planar())  # the order in which they are tried


class Samples(eqx.Module):
    """Configurations drawn from a model.

    **Arguments:** `states`, shape (count, n), the smallest signed integer type that holds them; `independent`, whether
    they are independent draws from the model itself; `effective_size`, how many independent draws they are worth;
    `method`; `answer`, the bracket on log Z that came with them; `result`, `TIME_LIMIT` when there are fewer than
    were asked for, else that of `answer`: `EXACT`, or `EXHAUSTED` from a sampler that does not know log Z.
    """

    states: np.ndarray
    independent: bool = eqx.field(static=True)
    effective_size: float = eqx.field(static=True)
    method: str = eqx.field(static=True)
    answer: Answer
    result: Result = eqx.field(static=True, default=Result.EXACT)

    def __len__(self) -> int:
        return len(self.states)

    @property
    def spins(self) -> np.ndarray:
        """The same as spins, +1 for state 0 and −1 for state 1, float64. Raises `ValueError` for other states."""
        return to_spins(self.states)


def sample(
    model: AbstractDiscreteModel,
    count: int,
    *,
    key: Any = None,
    seed: int | None = None,
    method: Any = None,
    time_limit: float = 60.0,
    memory: float = 8e9,
) -> Samples:
    """Draws configurations of a model, exactly and independently.

    **Arguments:** `count`, how many; `key`, a typed `jax.random.key`, or `seed`, an integer, which is short for
    `jax.random.key(seed)`; `method`, an exact engine, or `PerfectSampling()`, by
    default the first of `ENGINES` that takes the model; `time_limit`, seconds; `memory`, bytes.

    **Returns:** `Samples`; when the time was up they are fewer than `count`, and `result` says so.

    **Raises:** `ValueError` when every configuration has weight zero, or there is not exactly one of `key` and `seed`;
    `Refusal` with the estimate when no engine can take the model.
    """
    if count < 0:
        raise ValueError(f"{count} samples cannot be drawn; give a number ≥ 0")
    rng, limits = generator(key, seed), until(time_limit, memory)
    check_room(model, count, limits)
    method, found = choose(model, limits, ENGINES if method is None else (method,))
    nothing = np.zeros((0, model.n), state_type(model))
    states = np.concatenate([nothing, *draws(found, model.n, count, rng, limits.deadline)])
    result = found.answer.result if len(states) == count else Result.TIME_LIMIT
    return Samples(states, True, float(len(states)), repr(method), found.answer, result)


def choose(
    model: AbstractDiscreteModel, limits: Limits = Limits(), engines: Sequence[Any] = ENGINES
) -> tuple[Any, ExactSampler]:
    """The first engine that takes the model, and its sampler. Raises `Refusal` with the reasons of all of them."""
    reasons = []
    for engine in engines:
        try:
            return engine, sampler(engine, model, limits)
        except Refusal as refusal:
            reasons.append(str(refusal))
    raise Refusal("; ".join(reasons))


def check_room(model: AbstractDiscreteModel, count: int, limits: Limits) -> None:
    """Raises `Refusal` when `count` samples, held twice while they are put together, would not fit the memory."""
    needed = 2.0 * count * model.n * np.dtype(state_type(model)).itemsize
    if needed > limits.memory:
        raise Refusal(
            f"{count} samples of {model.n} variables need {needed / 1e9:.3g} GB; {limits.memory / 1e9:.3g} allowed"
        )


def draws(found: ExactSampler, n: int, count: int, rng: np.random.Generator, deadline: float) -> Iterator[np.ndarray]:
    """`count` samples of n variables, in pieces; after the first piece the deadline may end them."""
    piece, left = max(1, found.at_once // max(n, 1)), count
    while left > 0 and (left == count or time.monotonic() < deadline):
        yield found.draw(min(piece, left), rng)
        left -= piece


def generator(key: Any = None, seed: int | None = None) -> np.random.Generator:
    """The random numbers that a typed key, or the seed of one, stands for. Raises `ValueError` unless one is given."""
    if (key is None) == (seed is None):
        raise ValueError("sampling needs a source of randomness: give key=jax.random.key(0), or seed=0, but not both")
    if seed is not None:
        if seed < 0:
            raise ValueError(f"seed is {seed}; it must be 0 or above")
        return np.random.default_rng([seed >> 32, seed & 0xFFFFFFFF])  # the words of jax.random.key(seed)
    import jax

    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
