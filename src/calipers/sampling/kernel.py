"""What a Markov kernel is: a frozen bundle of choices with `init` and `step`, over a state that can be saved.

    state = kernel.init(model, seed=0, chains=4)
    state, info = kernel.step(state, sweeps=10)          # the old state is left as it was
    kernel.spins(state)                                   # (chains, n) int8

Every kernel leaves p(x) ∝ weight(x) as it is, exactly but for the rounding of its acceptance probabilities; how fast a
chain forgets where it began is what `diagnostics.py` measures. A state is a NamedTuple of arrays: the configurations,
the random streams, and the wiring with couplings and temperature, so that changing those compiles nothing. **Proves**
nothing about log Z.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import numpy as np

from calipers.core.model import AbstractDiscreteModel
from calipers.sampling.measure import Measured
from calipers.sampling.measure import meter as measure_of
from calipers.sampling.neighbours import check_order
from calipers.sampling.streams import source


class Info(NamedTuple):
    """What a step did: `moved`, changes of variables, (chains,), −1 where not counted; `tried` in each chain."""

    moved: np.ndarray
    tried: int


class AbstractKernel(eqx.Module):
    """A way to move configurations that leaves the model's distribution invariant."""

    fewest: ClassVar[int] = 1  # chains come in multiples of it

    def init(
        self,
        model: AbstractDiscreteModel,
        *,
        key: Any = None,
        seed: int | None = None,
        chains: int | None = None,
        start: np.ndarray | None = None,
    ) -> Any:
        """The state of chains before the first step.

        **Arguments:** `key` or `seed`, exactly one; `chains`, 4 unless told otherwise, or as few as the kernel takes;
        `start`, states (n,) or (chains, n) to begin from, else random.

        **Raises:** `Refusal` when the kernel cannot sample this model; `ValueError` for a start that is not one.
        """
        return self.begin(model, source(key, seed), max(4, self.fewest) if chains is None else chains, start)

    @abc.abstractmethod
    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> Any:
        """The state before the first step, given what all streams are seeded from."""

    @abc.abstractmethod
    def step(self, state: Any, sweeps: int = 1) -> tuple[Any, Info]:
        """The state after so many sweeps, and what was done; `state` itself is not touched."""

    @abc.abstractmethod
    def states(self, state: Any) -> np.ndarray:
        """Configurations as states 0 … k−1, shape (chains, n)."""

    @abc.abstractmethod
    def meter(self, model: AbstractDiscreteModel) -> Callable[[Any], Measured]:
        """A function that reads energy and magnetization off a state of this model."""

    def spins(self, state: Any) -> np.ndarray:
        """Configurations as spins ±1, int8, shape (chains, n). Raises `ValueError` when variables have more states."""
        states = self.states(state)
        if states.max(initial=0) > 1:
            raise ValueError("these variables have more than two states; `states` gives them")
        return (1 - 2 * states).astype(np.int8)


class AbstractPlain(AbstractKernel):
    """A kernel that is measured by its configurations."""

    def meter(self, model: AbstractDiscreteModel) -> Callable[[Any], Measured]:
        measure = measure_of(model)
        return lambda state: measure(self.states(state))


class AbstractOrdered(AbstractPlain):
    """A kernel that visits one variable after another.

    **Arguments:** `order`, "sequential", "coloured" (one colour of a graph colouring after another) or "random".
    """

    order: str = "sequential"

    def __check_init__(self) -> None:
        check_order(self.order)


def leaves(state: Any) -> list[np.ndarray]:
    """The arrays of a state, in the order of its fields, inner states unfolded: what a file needs to hold."""
    return [leaf for part in state for leaf in (leaves(part) if isinstance(part, tuple) else [np.asarray(part)])]


def with_leaves(state: Any, arrays: list[np.ndarray]) -> Any:
    """A state of the same make with other arrays.

    **Raises:** `ValueError` when shapes or types are not those of `state`.
    """
    mine = leaves(state)
    if [(a.shape, a.dtype) for a in mine] != [(a.shape, a.dtype) for a in arrays]:
        raise ValueError("these arrays are not a state of this kernel and model")
    return _fill(state, iter(arrays))


def _fill(state: Any, arrays: Any) -> Any:
    return type(state)(*(_fill(part, arrays) if isinstance(part, tuple) else next(arrays) for part in state))


def first_states(domains: np.ndarray, rng: np.random.Generator, chains: int, start: np.ndarray | None) -> np.ndarray:
    """Where chains begin, int32 states (chains, n): at `start`, or at random."""
    if chains < 1:
        raise ValueError(f"chains is {chains}; it must be 1 or more")
    n = len(domains)
    if start is None:
        return rng.integers(0, domains, (chains, n), dtype=np.int32)
    given = np.asarray(start)
    if given.shape not in ((n,), (chains, n)) or given.dtype.kind not in "iu":
        raise ValueError(
            f"start is {given.dtype} of shape {given.shape}; give integer states ({n},) or ({chains}, {n})"
        )
    if (given < 0).any() or (given >= domains).any():
        raise ValueError("start has states outside the variables' domains")
    return np.array(np.broadcast_to(given, (chains, n)), np.int32)
