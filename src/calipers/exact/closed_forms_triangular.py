"""Closed forms of the infinite triangular and honeycomb lattices at H = 0 (k_B = 1, K = J/T).

    triangular  log Z/N = log 2 + (1/2π) ∫_0^π log[(P + √(P² − Q²))/2] dω                                (Houtappel)
                P = C³ + S³ − S cos ω,   Q = 2 S cos(ω/2),   C = cosh 2K,   S = sinh 2K,   T_c = 4J / log 3
    honeycomb   log Z/(2N) = ½ [log R + log Z_tri/N (K′)],   e^{4K′} = 2 cosh 2K − 1,   R⁴ = 16 cosh 3K cosh³ K
                T_c = 2|J| / arccosh 2                                                (the star and the triangle)

The inner of Houtappel's two integrals is done, ∫ log(P − Q cos φ) dφ = 2π log[(P + √(P² − Q²))/2]; the outer one goes
by a double-exponential rule whose ends lie where the root has its kink: ω = 0 for J > 0, and 2π/3 for J < 0, where the
magnet is frustrated and keeps an entropy at T = 0. P² − Q² is written as a sum of positive terms, t = e^{−4|K|}:

    J > 0, over e^{6K}:   (P − Q)(P + Q),   P − Q = (1 − 3t)²/4 + s (1 − cos ω) + 2 s (1 − cos ω/2),   s = t (1 − t)/2
    J < 0, over e^{2|K|}: (s c + ε)² + 2 s ε,   c = cos ω + ½,   s = (1 − t)/2,   ε = (3t + t²)/4

Functions take scalars or arrays of temperatures T > 0. **Source** Houtappel, *Physica* 16 (1950) 425; Wannier, *Phys.
Rev.* 79 (1950) 357 and its erratum of 1973; Baxter, *Exactly Solved Models*, §§6.4, 11.
"""

import functools
import math
from typing import Any

import numpy as np


def triangular_critical_temperature(J: float = 1.0) -> float:
    """T_c = 4J / log 3, in units of energy; 0 for J < 0, which never orders."""
    return 4.0 * max(J, 0.0) / math.log(3.0)


def triangular_log_z_per_site(T: Any, J: float = 1.0) -> Any:
    """log Z / N of the infinite triangular lattice, nats per site."""
    K = np.abs(J / np.asarray(T, float))
    return (1.0 if J < 0 else 3.0) * K + _mean_log(np.exp(-4.0 * K), J < 0)[0]


def triangular_energy_per_site(T: Any, J: float = 1.0) -> Any:
    """⟨E⟩ / N of the infinite triangular lattice, in units of energy."""
    t = np.exp(-4.0 * np.abs(J / np.asarray(T, float)))
    return -abs(J) * ((1.0 if J < 0 else 3.0) - 4.0 * t * _mean_log(t, J < 0)[1])


def triangular_residual_entropy() -> float:
    """Entropy per site that the antiferromagnet (J < 0) keeps at T = 0: 0.3230659…"""
    return float(_mean_log(np.zeros(()), True)[0])


def honeycomb_critical_temperature(J: float = 1.0) -> float:
    """T_c = 2|J| / arccosh 2 = 1.5186…|J|, in units of energy; bipartite: the sign of J is no matter."""
    return 2.0 * abs(J) / math.acosh(2.0)


def honeycomb_log_z_per_site(T: Any, J: float = 1.0) -> Any:
    """log Z / N of the infinite honeycomb, nats per site."""
    K = np.abs(J / np.asarray(T, float))
    t, a = np.exp(-2.0 * K), np.exp(-4.0 * K)
    bond = 0.25 * (2.0 * K + np.log1p(a - t))  # K′, of the triangles
    spread = 0.25 * (6.0 * K + np.log1p(np.exp(-6.0 * K)) + 3.0 * np.log1p(t))  # log R
    return 0.5 * (spread + 3.0 * bond + _mean_log(np.exp(-4.0 * bond), False)[0])


def honeycomb_energy_per_site(T: Any, J: float = 1.0) -> Any:
    """⟨E⟩ / N of the infinite honeycomb, in units of energy."""
    K = np.abs(J / np.asarray(T, float))
    t, a = np.exp(-2.0 * K), np.exp(-4.0 * K)
    bond, bond_slope = 0.25 * (2.0 * K + np.log1p(a - t)), 0.5 * (1.0 - a) / (1.0 + a - t)
    spread_slope = 0.75 * (np.tanh(3.0 * K) + np.tanh(K))
    inner = np.exp(-4.0 * bond)
    per_bond = 3.0 - 4.0 * inner * _mean_log(inner, False)[1]
    return -0.5 * abs(J) * (spread_slope + bond_slope * per_bond)


def _mean_log(t: Any, frustrated: bool) -> tuple[Any, Any]:
    """log 2 + (1/2π) ∫ log[(P + √X)/2] dω in the units of the header, X = P² − Q², and its derivative in t."""
    t = np.asarray(t, float)[..., None]
    P, P_t, X, X_t, weights = (_frustrated if frustrated else _ferromagnet)(t)
    root = np.sqrt(X)
    value = math.log(2.0) + (weights * np.log(0.5 * (P + root))).sum(axis=-1) / (2.0 * np.pi)
    with np.errstate(invalid="ignore", divide="ignore"):
        kink = np.where(root > 0.0, 0.5 * X_t / root, 0.0)
    return value, (weights * (P_t + kink) / (P + root)).sum(axis=-1) / (2.0 * np.pi)


def _ferromagnet(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """P, its derivative in t, X, its derivative, and the weights of the rule on (0, π)."""
    near, _, weights = _unit_rule()
    wide, half = 2.0 * np.sin(0.5 * np.pi * near) ** 2, 2.0 * np.sin(0.25 * np.pi * near) ** 2  # 1 − cos ω, 1 − cos ω/2
    s, s_t = 0.5 * t * (1.0 - t), 0.5 - t
    total, total_t = 0.25 * (1.0 + 3.0 * t**2), 1.5 * t
    less, less_t = (
        0.25 * (1.0 - 3.0 * t) ** 2 + s * (wide + 2.0 * half),
        -1.5 * (1.0 - 3.0 * t) + s_t * (wide + 2.0 * half),
    )
    more, more_t = total + s * (1.0 + wide - 2.0 * half), total_t + s_t * (1.0 + wide - 2.0 * half)
    P, P_t = total - s * (1.0 - wide), total_t - s_t * (1.0 - wide)
    return P, P_t, less * more, less_t * more + less * more_t, np.pi * weights


def _frustrated(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same for J < 0, the rule on (2π/3, 0) and (2π/3, π)."""
    near, _, weights = _unit_rule()
    angle = np.concatenate([-2.0 * np.pi / 3.0 * near, np.pi / 3.0 * near])  # ω − 2π/3
    weights = np.concatenate([2.0 * np.pi / 3.0 * weights, np.pi / 3.0 * weights])
    c = np.sin(0.5 * angle) ** 2 - 0.5 * math.sqrt(3.0) * np.sin(angle)  # cos ω + ½
    s, s_t, e, e_t = 0.5 * (1.0 - t), -0.5, 0.25 * t * (3.0 + t), 0.25 * (3.0 + 2.0 * t)
    P, P_t = s * (1.0 + c) + e, s_t * (1.0 + c) + e_t
    inner, inner_t = s * c + e, s_t * c + e_t
    return P, P_t, inner**2 + 2.0 * s * e, 2.0 * inner * inner_t + 2.0 * (s_t * e + s * e_t), weights


@functools.cache
def _unit_rule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances from 0 and from 1, and weights, of a double-exponential rule on (0, 1)."""
    grid = np.linspace(-4.5, 4.5, 601)
    u = np.pi * np.sinh(grid)
    near, far = 1.0 / (1.0 + np.exp(-u)), 1.0 / (1.0 + np.exp(u))
    return near, far, (grid[1] - grid[0]) * np.pi * np.cosh(grid) * near * far
