"""Kaufman's finite torus: log Z of the m × n Ising magnet, H = 0, couplings K along its m rows and K′ within them.

    Z = ½ (2 sinh 2K)^{mn/2} (A + B + C + D)
    A, B = Π_r 2 cosh, Π_r 2 sinh of m γ_{2r+1}/2,     C, D = Π_r 2 cosh, Π_r 2 sinh of m γ_{2r}/2,     r = 0 … n − 1
    cosh γ_r = cosh 2K* cosh 2K′ − sinh 2K* sinh 2K′ cos(πr/n),     tanh K* = e^{−2K}

γ_r > 0, but γ_0 = 2(K′ − K*) has a sign: it is negative above T_c. A ± B is the trace over fermions with half-integer
momenta of either parity, C ± D over those with integer momenta. A negative coupling on an odd side is a line of
reversed bonds: it exchanges parities, Z ∝ (A − B) + (C − D), and two such lines Z ∝ (C − D) − (A − B).

**Numerics** Nothing overflows and, but for two such lines, nothing cancels, at any temperature:

    γ_r/2 = M + log(√q + √(q + e^{−2M})),    M = K′ + K*
    4q = (tanh K − e^{−2K′})² + (1 − e^{−4K′}) sech²K sin²(πr/2n)
    C ± D = C′ [e^x (1 ± τ) + e^{−x} (1 ∓ τ)],    x = m γ_0/2,    τ = Π_{r≠0} tanh(m γ_r/2),    C′ without r = 0

with (2 sinh 2K)^½ e^{K*} = 2 cosh K and (2 sinh 2K)^½ e^{−K*} = 2 sinh K in every factor, and 1 − τ by log log 1/τ.

**Cost** O(n). **Source** Kaufman, *Phys. Rev.* 76 (1949) 1232, eq. 76.
"""

import math
from typing import Any

import numpy as np

from calipers.exact import jets

Couplings = float | tuple[float, float]


def torus_log_z(shape: tuple[int, int], T: float, J: Couplings = 1.0) -> float:
    """log Z, nats, of the periodic square lattice without field.

    **Arguments:** `shape` (Lx, Ly), sides ≥ 1 (a side of 1 has no bonds, one of 2 double bonds); `T` > 0; `J`, the
    coupling, or the couplings along x and along y, of any sign.
    """
    x, y = _checked(shape, T, J)
    return float(_log_z(np, (int(shape[0]), int(shape[1])), x / T, y / T))


def torus_energy(shape: tuple[int, int], T: float, J: Couplings = 1.0) -> float:
    """⟨E⟩ = −∂ log Z/∂β of the whole torus, in units of energy; arguments as of `torus_log_z`."""
    return -_derivatives(shape, T, J)[0]


def torus_heat_capacity(shape: tuple[int, int], T: float, J: Couplings = 1.0) -> float:
    """∂⟨E⟩/∂T = β² ∂² log Z/∂β² of the whole torus (k_B = 1); arguments as of `torus_log_z`."""
    return _derivatives(shape, T, J)[1] / T**2


def strip_correlation_length(width: int, T: float, J: Couplings = 1.0) -> float:
    """ξ along an infinite strip of `width` ≥ 2 spins, periodic across; J along and across it, both positive.

    1/ξ = log λ₀/λ₁ = ½ Σ_r (γ_{2r+1} − γ_{2r}), and 2 (K* − K′) for the infinite lattice above T_c.
    """
    K, L = (j / T for j in _checked((width, 1), T, J))
    if not min(K, L) > 0 or width < 2:
        raise ValueError(f"couplings must be positive and the width at least 2, but {J} and {width} came")
    dual = math.atanh(math.exp(-2.0 * K))
    sine = np.sin(np.pi * np.arange(1, 2 * width) / (2 * width)) ** 2
    gamma = 2.0 * np.arcsinh(np.sqrt(np.sinh(L - dual) ** 2 + np.sinh(2.0 * L) * np.sinh(2.0 * dual) * sine))
    return 1.0 / (math.fsum([*gamma[::2], *-gamma[1::2], -2.0 * (L - dual)]) / 2.0)


def _checked(shape: tuple[int, int], T: float, J: Couplings) -> tuple[float, float]:
    if not (T > 0 and len(shape) == 2 and min(shape) >= 1):
        raise ValueError(f"a torus has two sides of at least 1 and T > 0, but {shape} and T = {T} came")
    x, y = (J, J) if isinstance(J, int | float) else J
    return float(x), float(y)


def _derivatives(shape: tuple[int, int], T: float, J: Couplings) -> tuple[float, float]:
    """First and second derivative of log Z in β."""
    x, y = _checked(shape, T, J)
    return torus_derivatives((int(shape[0]), int(shape[1])), (x / T, y / T), (x, y))


def torus_derivatives(
    shape: tuple[int, int], K: tuple[float, float], slope: tuple[float, float]
) -> tuple[float, float]:
    """First and second derivative of log Z in t, at couplings (times β) K + t `slope` along the two axes."""
    found = jets.jet(_log_z(jets, shape, *(jets.Jet(k, s) for k, s in zip(K, slope, strict=True))))
    return float(found.first), float(found.second)


def _log_z(xp: Any, shape: tuple[int, int], K: Any, L: Any) -> Any:
    """log Z over the module `xp`: numpy, or `jets` to differentiate."""
    m, n = shape
    x, y = _number(K), _number(L)
    if m == 1 or n == 1 or x == 0.0 or y == 0.0:  # rings
        return n * ring(xp, m, K) + m * ring(xp, n, L) - m * n * math.log(2.0)
    along, across = x < 0 and m % 2 == 1, y < 0 and n % 2 == 1
    K, L = K * math.copysign(1.0, x), L * math.copysign(1.0, y)
    if along and not across:  # a single twist is put across, where nothing cancels
        m, n, K, L, along, across = n, m, L, K, across, along
    return _torus(xp, m, n, K, L, along + across)


def _number(K: Any) -> float:
    return float(K.value if isinstance(K, jets.Jet) else K)


def ring(xp: Any, n: int, K: Any) -> Any:
    """log Z of a ring of n spins: n log(2 cosh K) + log(1 ± tanh^n |K|)."""
    J = _number(K)
    if n == 1 or J == 0.0:
        return n * math.log(2.0)
    K = K * math.copysign(1.0, J)
    deficit = math.log(n) + log_log_coth(xp, K)
    frustrated = J < 0 and n % 2 == 1
    return n * (K + xp.log1p(xp.exp(-2.0 * K))) + (log_one_minus if frustrated else log_one_plus)(xp, deficit)


def _torus(xp: Any, m: int, n: int, K: Any, L: Any, twists: int) -> Any:
    """log Z of positive couplings K along and L across; `twists` lines of reversed bonds, the first of them across."""
    odd, deficit = _products(xp, m, n, K, L, np.arange(1, 2 * n, 2))
    odd = odd + (log_one_minus if twists else log_one_plus)(xp, deficit)
    even, deficit = _products(xp, m, n, K, L, np.arange(2, 2 * n, 2))
    plus, minus = log_one_plus(xp, deficit), log_one_minus(xp, deficit)
    up = m * (L + K + xp.log(-xp.expm1(-2.0 * K)))  # ± m γ_0/2 and its share of the prefactor
    down = m * (K - L + xp.log1p(xp.exp(-2.0 * K)))
    even = even + (add(xp, up + minus, down + plus) if twists else add(xp, up + plus, down + minus))
    total = even + xp.log(xp.maximum(-xp.expm1(odd - even), 0.0)) if twists == 2 else add(xp, odd, even)
    return total - math.log(2.0)


def _products(xp: Any, m: int, n: int, K: Any, L: Any, r: np.ndarray) -> tuple[Any, Any]:
    """log Π (2 sinh 2K)^{m/2} 2 cosh(m γ_r/2), and log log 1/Π tanh(m γ_r/2)."""
    t = xp.exp(-2.0 * K)
    q = (xp.tanh(K) - xp.exp(-2.0 * L)) ** 2
    q = 0.25 * (q - xp.expm1(-4.0 * L) * 4.0 * t / (1.0 + t) ** 2 * np.sin(np.pi * r / (2 * n)) ** 2)
    rest = L + xp.log(xp.sqrt(q) + xp.sqrt(q + xp.exp(-2.0 * L) * xp.tanh(K)))
    y = m * (rest + 0.5 * (xp.log1p(t) - xp.log(-xp.expm1(-2.0 * K))))  # m γ_r/2
    logs = log_log_coth(xp, y)
    top = logs.max()
    total = (m * (rest + K + xp.log1p(t)) + xp.log1p(xp.exp(-2.0 * y))).sum()
    return total, top + xp.log(xp.exp(logs - top).sum())


def log_log_coth(xp: Any, y: Any) -> Any:
    """log log coth y for y > 0, whose e^{-2y} may be far below what a float holds."""
    t = xp.exp(-2.0 * y)
    some = xp.where(t < 1e-5, 0.5, t)
    return xp.where(t < 1e-5, math.log(2.0) + t * t / 3.0, xp.log(2.0 * xp.arctanh(some) / some)) - 2.0 * y


def log_one_plus(xp: Any, deficit: Any) -> Any:
    """log(1 + τ), where τ = exp(−e^deficit)."""
    return xp.log1p(xp.exp(-xp.exp(deficit)))


def log_one_minus(xp: Any, deficit: Any) -> Any:
    """log(1 − τ), where τ = exp(−e^deficit)."""
    size = xp.exp(deficit)
    some = xp.where(size < 1e-9, 1.0, size)
    return xp.where(size < 1e-9, deficit - 0.5 * size, xp.log(-xp.expm1(-some)))


def add(xp: Any, a: Any, b: Any) -> Any:
    """log(e^a + e^b) from the larger one and the difference, so that derivatives of large terms do not cancel."""
    low, high = (a, b) if a < b else (b, a)
    return high + xp.logaddexp(low - high, 0.0)
