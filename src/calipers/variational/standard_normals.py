"""Standard normal draws that are better than random: Sobol points whose mean and covariance are made exact.

With Σ_s z_s = 0 and Σ_s z_s z_sᵀ = S·I the average of a quadratic function over the draws is its expectation, so that
a fit to a Gaussian target is exact, and a fit of d² parameters stays bounded for S > d. Each point comes with its
opposite. **Source** Owen, *Scrambled net variance* (1997), for the scrambling.
"""

import math

import numpy as np
from scipy.special import ndtri

_SOBOL_DIMENSIONS = 1000  # beyond these, plain random numbers


def standard_normals(count: int, dimension: int, random: np.random.Generator) -> np.ndarray:
    """`count` rows, an even number above 2 · `dimension`, with mean 0 and covariance I; shape (count, dimension)."""
    half = count // 2
    if half <= dimension:
        raise ValueError(f"{count} draws cannot have a covariance of {dimension} dimensions; give {2 * dimension + 2}")
    if dimension <= _SOBOL_DIMENSIONS:
        from scipy.stats import qmc  # half a second, which discrete models need not wait for

        sobol = qmc.Sobol(dimension, seed=random)
        uniform = sobol.random_base2(math.ceil(math.log2(half)))[:half]
        z = ndtri(np.clip(uniform, 1e-12, 1.0 - 1e-12))
    else:
        z = random.standard_normal((half, dimension))
    factor = np.linalg.cholesky(z.T @ z / half)
    z = np.linalg.solve(factor, z.T).T
    return np.concatenate([z, -z])
