"""Closed forms: the Ising models that were solved with pen and paper (k_B = 1).

    square lattice  log Z/N = log(2 cosh 2K) + (1/π) ∫_0^{π/2} log[(1 + √(1 − k² sin²φ))/2] dφ            (Onsager)
                    K = J/T,  k = 2 sinh 2K / cosh² 2K,  T_c = 2J / log(1 + √2)
                    C/N = (4/π) (K coth 2K)² {K₁ − E₁ − sech² 2K [π/2 + (2 tanh² 2K − 1) K₁]}
                    m = (1 − sinh(2K)^−4)^{1/8} below T_c                                                   (Yang)
    ring            log Z = log(λ₊ⁿ + λ₋ⁿ),  λ± = e^K cosh h ± √(e^{2K} sinh² h + e^{−2K}),  h = H/T        (Ising)
    complete graph  log Z = log Σ_M C(n, (n+M)/2) exp([J(M² − n)/2n + HM]/T)                         (Curie–Weiss)

Functions take scalars or arrays of temperatures T > 0 and return the same shape. **Source** Onsager 1944; Yang 1952;
Ising 1925; Baxter, *Exactly Solved Models* (1982), ch. 2, 3, 7.
"""

import functools
from typing import Any

import numpy as np
from scipy.special import ellipkm1, elliprd, gammaln, logsumexp


def onsager_critical_temperature(J: float = 1.0) -> float:
    """T_c = 2J / log(1 + √2) of the square lattice, in units of energy."""
    return 2.0 * abs(J) / np.log1p(np.sqrt(2.0))


def onsager_log_z_per_site(T: Any, J: float = 1.0) -> Any:
    """log Z / N of the infinite square lattice at H = 0, nats per site; full float64 precision, T_c included."""
    K = np.abs(J / np.asarray(T, float))
    t = np.exp(-4.0 * K)  # cosh 2K = e^{2K} (1 + t)/2
    dual = (2.0 * np.tanh(2.0 * K) ** 2 - 1.0) ** 2  # 1 − k²; zero at T_c
    nodes, weights = _double_exponential()
    root = np.sqrt(nodes**2 + dual[..., None] * (1.0 - nodes**2))  # √(1 − k² sin²φ), nodes = cos φ
    integral = (weights * np.log1p(root)).sum(axis=-1) / np.pi
    return 2.0 * K + np.log1p(t) - 0.5 * np.log(2.0) + integral


def onsager_energy_per_site(T: Any, J: float = 1.0) -> Any:
    """⟨E⟩ / N of the infinite square lattice at H = 0, in units of energy."""
    K = np.abs(J / np.asarray(T, float))
    k1 = 2.0 * np.tanh(2.0 * K) ** 2 - 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        term = np.where(k1 == 0.0, 0.0, 2.0 / np.pi * k1 * ellipkm1(k1**2))  # K diverges only like a logarithm
    return -abs(J) / np.tanh(2.0 * K) * (1.0 + term)


def onsager_heat_capacity_per_site(T: Any, J: float = 1.0) -> Any:
    """∂⟨E⟩/∂T / N of the infinite square lattice at H = 0 (k_B = 1); it diverges at T_c like a logarithm.

    Where the elliptic integrals cancel, at either end of the temperatures, their series is taken: about 12 digits hold.
    """
    K = np.atleast_1d(np.abs(J / np.asarray(T, float)))
    low, high = np.exp(-4.0 * K), np.tanh(K) ** 2
    tanh2, sech2 = np.tanh(2.0 * K) ** 2, 4.0 * low / (1.0 + low) ** 2
    dual = (2.0 * tanh2 - 1.0) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        bracket = 4.0 / 3.0 * tanh2 * elliprd(0.0, dual, 1.0) - 0.5 * np.pi - (2.0 * tanh2 - 1.0) * ellipkm1(dual)
        value = np.where(dual == 0.0, np.inf, 4.0 / np.pi * (K / np.tanh(2.0 * K)) ** 2 * sech2 * bracket)
    slope, curve = _series(low)
    value = np.where(low < _SMALL, K**2 * 16.0 * (low**2 * curve + low * slope), value)
    slope, curve = _series(high)
    first, second = 4.0 * high * (1.0 - high) ** 2, 2.0 * (1.0 - high) * (1.0 - 3.0 * high)  # (tanh² K)′², (tanh² K)″
    value = np.where(high < _SMALL, K**2 * (2.0 * (1.0 - high) + curve * first + slope * second), value)
    return value.reshape(np.shape(T)) if np.shape(T) else float(value[0])


# log Z/N = 2K + Σ_k c_k u^k with u = e^{−4K}, and log 2 + 2 log cosh K + the same sum with u = tanh² K; k = 2, 3, …
_SERIES = (
    1.0, 2.0, 9 / 2, 12.0, 112 / 3, 130.0, 1961 / 4, 5876 / 3, 40871 / 5, 35302.0, 156740.0, 712052.0, 23084692 / 7
)  # fmt: skip
_SMALL = 7e-3


def _series(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative of Σ_k c_k u^k."""
    powers = range(2, 2 + len(_SERIES))
    terms = list(zip(powers, _SERIES, strict=True))
    slope = np.sum([c * k * u ** (k - 1) for k, c in terms], axis=0)
    return slope, np.sum([c * k * (k - 1) * u ** (k - 2) for k, c in terms], axis=0)


def onsager_free_energy_per_site(T: Any, J: float = 1.0) -> Any:
    """F / N = −T log Z / N of the infinite square lattice at H = 0, in units of energy."""
    return -np.asarray(T, float) * onsager_log_z_per_site(T, J)


def yang_magnetization(T: Any, J: float = 1.0) -> Any:
    """Spontaneous magnetization per site of the square-lattice ferromagnet (J > 0); zero at and above T_c."""
    with np.errstate(over="ignore"):
        s = np.sinh(2.0 * J / np.asarray(T, float)) ** -4.0
    return np.where(s < 1.0, np.maximum(1.0 - s, 0.0) ** 0.125, 0.0)


def chain_log_z(n: int, T: float, J: float = 1.0, H: float = 0.0, *, periodic: bool = True) -> float:
    """log Z of `n` spins in a ring (n ≥ 3) or an open chain, in nats; no digits cancel at any temperature."""
    K, h = J / T, H / T
    power = _log_power(np.array([[K + h, -K], [-K, K - h]]), n if periodic else n - 1)
    ends = np.zeros(2) if periodic else np.array([h, -h]) / 2.0
    return float(np.logaddexp(*np.diag(power)) if periodic else logsumexp(power + ends[:, None] + ends))


def _log_power(log_matrix: np.ndarray, n: int) -> np.ndarray:
    """log of the n-th power of a positive matrix, by squaring in log space: sums of positive terms only."""
    result, square = np.array([[0.0, -np.inf], [-np.inf, 0.0]]), log_matrix
    while n:
        if n & 1:
            result = logsumexp(result[:, :, None] + square[None], axis=1)
        square, n = logsumexp(square[:, :, None] + square[None], axis=1), n >> 1
    return result


def curie_weiss_log_z(n: int, T: float, J: float = 1.0, H: float = 0.0) -> float:
    """log Z of the complete graph on `n` spins with couplings J/n, in nats; mean field is exact per site as n → ∞."""
    up = np.arange(n + 1)
    M = 2.0 * up - n
    count = gammaln(n + 1) - gammaln(up + 1) - gammaln(n - up + 1)
    return float(logsumexp(count + (J * (M**2 - n) / (2.0 * n) + H * M) / T))


@functools.cache
def _double_exponential() -> tuple[np.ndarray, np.ndarray]:
    """cos φ and weights of a tanh-sinh rule on φ ∈ [0, π/2]; dense near π/2, where √(cos² φ + …) has its kink."""
    t = np.linspace(-4.0, 4.0, 401)
    u = 0.5 * np.pi * np.sinh(t)
    step = (t[1] - t[0]) * 0.5 * np.pi * np.cosh(t) / np.cosh(u) ** 2 * 0.25 * np.pi
    gap = 0.5 * np.pi / (1.0 + np.exp(2.0 * u))  # π/2 − φ, without cancellation
    return np.sin(gap), step
