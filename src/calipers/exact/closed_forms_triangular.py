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

Functions take scalars or arrays of temperatures T > 0. Energies and heat capacities are derivatives by Taylor
arithmetic (`jets.py`) under the integral: good to some 10⁻¹³ per site, absolutely, and less close to T_c. **Source**
Houtappel, *Physica* 16 (1950) 425; Wannier, *Phys. Rev.* 79 (1950) 357 and its erratum of 1973; Potts, *Phys. Rev.* 88
(1952) 352; Naya, *Prog. Theor. Phys.* 11 (1954) 53; Baxter, *Exactly Solved Models*, §§6.4, 11.
"""

import functools
import math
from typing import Any

import numpy as np

from calipers.exact import jets
from calipers.exact.jets import Jet


def triangular_critical_temperature(J: float = 1.0) -> float:
    """T_c = 4J / log 3, in units of energy; 0 for J < 0, which never orders."""
    return 4.0 * max(J, 0.0) / math.log(3.0)


def triangular_log_z_per_site(T: Any, J: float = 1.0) -> Any:
    """log Z / N of the infinite triangular lattice, nats per site."""
    return _triangular(T, J).value


def triangular_energy_per_site(T: Any, J: float = 1.0) -> Any:
    """⟨E⟩ / N of the infinite triangular lattice, in units of energy."""
    return -_triangular(T, J).first


def triangular_heat_capacity_per_site(T: Any, J: float = 1.0) -> Any:
    """∂⟨E⟩/∂T / N of the infinite triangular lattice (k_B = 1); for J > 0 it diverges at T_c like a logarithm."""
    at = np.abs(np.asarray(T, float) - triangular_critical_temperature(J)) < 4e-16 * np.abs(T)
    return np.where(at, np.inf, _triangular(T, J).second / np.asarray(T, float) ** 2)[()]


def triangular_residual_entropy() -> float:
    """Entropy per site that the antiferromagnet (J < 0) keeps at T = 0: 0.3230659…"""
    return float(_mean_log(Jet(np.zeros(())), True).value)


def honeycomb_critical_temperature(J: float = 1.0) -> float:
    """T_c = 2|J| / arccosh 2 = 1.5186…|J|, in units of energy; bipartite: the sign of J is no matter."""
    return 2.0 * abs(J) / math.acosh(2.0)


def honeycomb_log_z_per_site(T: Any, J: float = 1.0) -> Any:
    """log Z / N of the infinite honeycomb, nats per site."""
    return _honeycomb(T, J).value


def honeycomb_energy_per_site(T: Any, J: float = 1.0) -> Any:
    """⟨E⟩ / N of the infinite honeycomb, in units of energy."""
    return -_honeycomb(T, J).first


def honeycomb_heat_capacity_per_site(T: Any, J: float = 1.0) -> Any:
    """∂⟨E⟩/∂T / N of the infinite honeycomb (k_B = 1); it diverges at T_c like a logarithm."""
    at = np.abs(np.asarray(T, float) - honeycomb_critical_temperature(J)) < 4e-16 * np.abs(T)
    return np.where(at, np.inf, _honeycomb(T, J).second / np.asarray(T, float) ** 2)[()]


def triangular_magnetization(T: Any, J: float = 1.0) -> Any:
    """Spontaneous magnetization per site, J > 0: m⁸ = 1 − 16 t³/((1 + 3t)(1 − t)³), t = e^{−4K} (Potts)."""
    t = np.exp(-4.0 * J / np.asarray(T, float))
    below = np.asarray(T) < triangular_critical_temperature(J)
    return _eighth_root(16.0 * t**3, (1.0 + 3.0 * t) * (1.0 - t) ** 3, below)


def honeycomb_magnetization(T: Any, J: float = 1.0) -> Any:
    """Spontaneous magnetization per site, J > 0: m⁸ = 1 − 16 z³ (1 + z³)/((1 − z)(1 − z²))³, z = e^{−2K} (Naya)."""
    z = np.exp(-2.0 * J / np.asarray(T, float))
    below = np.asarray(T) < honeycomb_critical_temperature(J)
    return _eighth_root(16.0 * z**3 * (1.0 + z**3), ((1.0 - z) * (1.0 - z**2)) ** 3, below)


def _eighth_root(part: Any, whole: Any, below: Any) -> Any:
    """(1 − part/whole)^{1/8} below T_c, 0 elsewhere."""
    return np.where(below, np.maximum(1.0 - part / np.where(below, whole, 1.0), 0.0) ** 0.125, 0.0)


def _coupling(T: Any, J: float) -> Jet:
    """|K| = |J| β and its derivative in β."""
    return Jet(np.abs(J / np.asarray(T, float)), abs(J))


def _triangular(T: Any, J: float) -> Jet:
    """log Z/N with both derivatives in β."""
    K = _coupling(T, J)
    return (1.0 if J < 0 else 3.0) * K + _mean_log(jets.exp(-4.0 * K), J < 0)


def _honeycomb(T: Any, J: float) -> Jet:
    K = _coupling(T, J)
    t, a = jets.exp(-2.0 * K), jets.exp(-4.0 * K)
    bond = 0.25 * (2.0 * K + jets.log1p(a - t))  # K′, of the triangles
    spread = 0.25 * (6.0 * K + jets.log1p(jets.exp(-6.0 * K)) + 3.0 * jets.log1p(t))  # log R
    return 0.5 * (spread + 3.0 * bond + _mean_log(jets.exp(-4.0 * bond), False))


def _mean_log(t: Jet, frustrated: bool) -> Jet:
    """log 2 + (1/2π) ∫ log[(P + √X)/2] dω in the units of the header, X = P² − Q²."""
    t = Jet(*(np.asarray(part, float)[..., None] for part in (t.value, t.first, t.second)))
    P, X, weights = (_frustrated if frustrated else _ferromagnet)(t)
    some = X.value > 0.0
    logs = jets.log(0.5 * (P + jets.where(some, jets.sqrt(jets.where(some, X, 1.0)), 0.0)))
    parts = (np.broadcast_to(part, some.shape) for part in (logs.value, logs.first, logs.second))
    return Jet(*((weights * part).sum(axis=-1) / (2.0 * np.pi) for part in parts)) + math.log(2.0)


def _ferromagnet(t: Jet) -> tuple[Jet, Jet, np.ndarray]:
    """P, X, and the weights of the rule on (0, π)."""
    near, _, weights = _unit_rule()
    wide, half = 2.0 * np.sin(0.5 * np.pi * near) ** 2, 2.0 * np.sin(0.25 * np.pi * near) ** 2  # 1 − cos ω, 1 − cos ω/2
    s, total = 0.5 * t * (1.0 - t), 0.25 * (1.0 + 3.0 * t**2)
    less, more = 0.25 * (1.0 - 3.0 * t) ** 2 + s * (wide + 2.0 * half), total + s * (1.0 + wide - 2.0 * half)
    return total - s * (1.0 - wide), less * more, np.pi * weights


def _frustrated(t: Jet) -> tuple[Jet, Jet, np.ndarray]:
    """The same for J < 0, the rule on (2π/3, 0) and (2π/3, π)."""
    near, _, weights = _unit_rule()
    angle = np.concatenate([-2.0 * np.pi / 3.0 * near, np.pi / 3.0 * near])  # ω − 2π/3
    weights = np.concatenate([2.0 * np.pi / 3.0 * weights, np.pi / 3.0 * weights])
    c = np.sin(0.5 * angle) ** 2 - 0.5 * math.sqrt(3.0) * np.sin(angle)  # cos ω + ½
    s, e = 0.5 * (1.0 - t), 0.25 * t * (3.0 + t)
    return s * (1.0 + c) + e, (s * c + e) ** 2 + 2.0 * s * e, weights


@functools.cache
def _unit_rule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances from 0 and from 1, and weights, of a double-exponential rule on (0, 1)."""
    grid = np.linspace(-4.5, 4.5, 601)
    u = np.pi * np.sinh(grid)
    near, far = 1.0 / (1.0 + np.exp(-u)), 1.0 / (1.0 + np.exp(u))
    return near, far, (grid[1] - grid[0]) * np.pi * np.cosh(grid) * near * far
