"""Configurations as spins ±1 or as states: state 0 is spin +1, state 1 is spin −1."""

from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike


def to_spins(states: Any, n: int | None = None) -> Any:
    """States 0, 1 as spins +1, −1, float64, shape (..., n); jax arrays stay jax arrays, and are not checked.

    **Raises:** `ValueError` when something is neither state, or `n` is given and is not the last axis.
    """
    return 1.0 - 2.0 * _checked(states, (0, 1), "states are 0 (up) or 1 (down)", n)


def to_states(spins: ArrayLike) -> np.ndarray:
    """Spins +1, −1 as states 0, 1, int64."""
    return (checked_spins(spins) < 0).astype(np.int64)


def checked_spins(spins: Any, n: int | None = None) -> Any:
    """Spins as float64, shape (..., n); jax arrays stay as they are.

    **Raises:** `ValueError` when something is neither −1 nor +1, or `n` is given and is not the last axis.
    """
    return _checked(spins, (-1, 1), "spins are −1 or +1", n)


def _checked(values: Any, allowed: tuple[int, int], rule: str, n: int | None) -> Any:
    if n is not None and np.shape(values)[-1:] != (n,):
        raise ValueError(f"configurations of this model have shape (..., {n}), not {np.shape(values)}")
    if isinstance(values, jax.Array):
        return values
    array = np.asarray(values)
    if not ((array == allowed[0]) | (array == allowed[1])).all():
        raise ValueError(f"{rule}; something else came")
    return array.astype(np.float64)
