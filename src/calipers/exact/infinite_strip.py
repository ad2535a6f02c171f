"""Uniform strips without end, by the leading eigenvalues of their transfer matrix; tori by all of them.

    T = V^½ W V^½,   V = exp(Σ_y K_y s_y s_{y+1} + h s_y),   W = ⊗_y e^{K_x s_y s′_y}
    log Z/column = log λ₀,      ξ = 1/log(λ₀/|λ₁|),      torus: Z = tr T^l = Σ λ^l

T is symmetric; the kernels of the frontier sweep apply it in place, w 2^w operations, and its leading eigenvalues come
from Lanczos iteration. Without a field λ₀ is sought among vectors even under the global flip, and λ₁ among odd ones.
**Proves** nothing: eigenvalues are as good as the residual says (some eigenvalue of a symmetric matrix lies within
|Tv − λv| of λ). **Cost** some tens of applications; below width 7, and for all eigenvalues, dense. **Source** Kramers &
Wannier 1941; Nightingale 1976.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from calipers.exact import frontier_kernels as kernels
from calipers.exact.frontier import Step, Sweep
from calipers.exact.frontier_program import build_program, with_fields

MOST_WIDTH, DENSE_WIDTH, MOST_DENSE = 22, 6, 11


class InfiniteStrip(NamedTuple):
    """What the two leading eigenvalues of a strip say.

    **Fields:** `log_z_per_site`, nats; `correlation_length`, in lattice units along the strip (inf where λ₁ meets λ₀ to
    rounding); `residual`, the larger |Tv − λv|/λ₀ of the two.
    """

    log_z_per_site: float
    correlation_length: float
    residual: float


def infinite_strip(
    width: int, T: float, J: float | tuple[float, float] = 1.0, H: float = 0.0, *, periodic: bool = True
) -> InfiniteStrip:
    """A uniform square strip of infinite length.

    **Arguments:** `width`, from 1 to 22 spins; `T` > 0; `J`, the coupling, or those along and across the strip; `H`,
    the field; `periodic` across or open.

    **Raises:** `ValueError` for a width or temperature out of range.
    """
    apply, scale = _operator(width, T, J, H, periodic)
    if width <= DENSE_WIDTH:
        values = np.linalg.eigvalsh(_dense(apply, width))
        first, second = sorted(np.abs(values))[:-3:-1]
        residual = 2.0**-52 * width
    elif H == 0.0:
        (first, first_rest), (second, second_rest) = (_leading(_in_sector(apply, sign), width) for sign in (1.0, -1.0))
        residual = max(first_rest, second_rest) / first
    else:
        first, second, residual = _leading_two(apply, width)
    first, second = max(first, second), min(first, second)
    log_ratio = -math.log(second / first)
    length = 1.0 / log_ratio if log_ratio > 0 else math.inf
    return InfiniteStrip((scale + math.log(first)) / width, length, residual)


def spectral_torus_log_z(
    shape: tuple[int, int], T: float, J: float | tuple[float, float] = 1.0, H: float = 0.0
) -> float:
    """log Z, nats, of a uniform torus in a field, by every eigenvalue of its narrower side (at most 11 spins).

    **Arguments:** `shape` (Lx, Ly), sides of at least 2 (double bonds at 2); `J` along x and y; others as above.
    """
    x, y = (J, J) if isinstance(J, int | float) else J
    length, width = shape
    if length < width:
        length, width, x, y = width, length, y, x
    if not 2 <= width <= MOST_DENSE:
        raise ValueError(f"the narrower side is from 2 to {MOST_DENSE}, but {width} came")
    apply, scale = _operator(width, T, (x, y), H, True)
    values = np.linalg.eigvalsh(_dense(apply, width))
    powers = (values / np.abs(values).max()) ** length
    return float(length * (scale + math.log(np.abs(values).max())) + math.log(math.fsum(powers)))


def _operator(
    width: int, T: float, J: float | tuple[float, float], H: float, periodic: bool
) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """v ↦ T v less a scale, and the log of the scale."""
    if not (1 <= width <= MOST_WIDTH and T > 0):
        raise ValueError(f"width is from 1 to {MOST_WIDTH} and T > 0, but {width} and {T} came")
    x, y = (J, J) if isinstance(J, int | float) else J
    steps = [Step("replace", k, k, k, k, (), False, width) for k in range(width)]
    none, links = np.zeros(width), np.full(width, x / T)
    program = build_program(Sweep(steps, (), np.arange(width), width, 0.0), np.zeros((width, 2), int), links, none)
    program = with_fields(program, links, none)
    index = np.arange(1 << width)
    energy = np.zeros(1 << width)
    for k in range(width):
        s = 1.0 - 2.0 * ((index >> k) & 1)
        energy += H / T * s
        if width > 1 and (k + 1 < width or periodic):
            energy += y / T * s * (1.0 - 2.0 * ((index >> (k + 1) % width) & 1))
    half = np.exp(0.5 * (energy - energy.max()))

    def apply(vector: np.ndarray) -> np.ndarray:
        out = half * vector.ravel()
        for blocks in program.groups:
            kernels.forward(out, 1.0, program.steps, blocks, 0, 1 << len(blocks.spare))
        return out * half

    return apply, float(energy.max()) + program.log_scale


def _dense(apply: Callable[[np.ndarray], np.ndarray], width: int) -> np.ndarray:
    matrix = np.stack([apply(row) for row in np.eye(1 << width)])
    return 0.5 * (matrix + matrix.T)


def _in_sector(apply: Callable[[np.ndarray], np.ndarray], sign: float) -> Callable[[np.ndarray], np.ndarray]:
    """T on vectors that are even (sign 1) or odd (−1) under the flip of every spin; zero on the others."""

    def project(vector: np.ndarray) -> np.ndarray:
        return 0.5 * (vector + sign * vector[::-1])

    return lambda vector: project(apply(project(vector.ravel())))


def _leading(apply: Callable[[np.ndarray], np.ndarray], width: int) -> tuple[float, float]:
    """|λ| of the leading eigenvalue, and its residual."""
    return _pairs(apply, width, 1)[0]


def _leading_two(apply: Callable[[np.ndarray], np.ndarray], width: int) -> tuple[float, float, float]:
    pairs = sorted(_pairs(apply, width, 2), reverse=True)
    return pairs[0][0], pairs[1][0], max(rest for _, rest in pairs) / pairs[0][0]


def _pairs(apply: Callable[[np.ndarray], np.ndarray], width: int, count: int) -> list[tuple[float, float]]:
    size = 1 << width
    start = np.random.default_rng(0).random(size) + np.linspace(1.0, 2.0, size)  # neither even nor odd
    operator = LinearOperator((size, size), matvec=apply, dtype=np.float64)
    values, vectors = eigsh(operator, k=count, which="LM", v0=start)
    rests = [float(np.linalg.norm(apply(v) - x * v)) for x, v in zip(values, vectors.T, strict=True)]
    return [(abs(float(x)), rest) for x, rest in zip(values, rests, strict=True)]
