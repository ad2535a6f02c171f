"""Keys of JAX as seeds of generators that are not JAX's."""

from typing import Any

import numpy as np


def seed_of(key: Any) -> int:
    """64 bits that depend on all of a typed `jax.random.key`."""
    import jax

    seed = 0
    for word in np.asarray(jax.random.key_data(key), np.uint64).ravel().tolist():
        seed = (seed * 0x9E3779B97F4A7C15 + word + 1) % 2**64
    return seed
