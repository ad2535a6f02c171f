"""Multistate reweighting: one estimate of log Z at all temperatures from runs at several of them.

    e^{−f_k} = Σ_n c_n e^{λ_k w_n} / Σ_j N_j e^{f_j + λ_j w_n}         f_k = −log Z(λ_k), up to one constant
    ⟨A⟩_λ = Σ_n p_n A_n,   p_n ∝ c_n e^{λ w_n} / Σ_j N_j e^{f_j + λ_j w_n}

A measurement counts c_n = 1/τ_k, τ_k the autocorrelation time of its run, and N_k = Σ c: correlated measurements are
worth as many independent ones, and none is thrown away. Equal w are added up first, which makes a histogram of the
energies of a magnet with few couplings (Ferrenberg & Swendsen); with none equal it is MBAR. f is the minimum of a
convex function, found by Newton's method. **Proves** nothing. **Cost** energies · states a step. **Fails** where
neighbours' energies do not overlap: then errors are large, and their estimates poor. **Source** Ferrenberg & Swendsen
(1989); Shirts & Chodera (2008), eqs. 11, 12 and D8; Tan (2004).
"""

from typing import NamedTuple

import numpy as np


class Multistate(NamedTuple):
    """Free energies of a ladder, and what is needed to go to temperatures between.

    **Fields:** `lambdas` (K,); `f` (K,), −log Z, f_0 = 0; `covariance` (K, K) of f; `log_denominator` (E,) at the
    `levels` (E,) of w.
    """

    lambdas: np.ndarray
    f: np.ndarray
    covariance: np.ndarray
    levels: np.ndarray
    log_denominator: np.ndarray
    log_counts: np.ndarray  # (E,) of c added up

    def error(self, a: int, b: int) -> float:
        """The asymptotic standard error of f_b − f_a."""
        c = self.covariance
        return float(np.sqrt(max(c[a, a] + c[b, b] - 2.0 * c[a, b], 0.0)))

    def log_z(self, lam: float) -> float:
        """log Z(λ) − log Z(λ_0)."""
        return float(np.logaddexp.reduce(self.log_counts + lam * self.levels - self.log_denominator))

    def weights(self, lam: float) -> np.ndarray:
        """p_n/c_n at λ of each level, (E,), not normalised: their largest is 1."""
        logs = lam * self.levels - self.log_denominator
        return np.exp(logs - logs.max())


def multistate(lambdas: np.ndarray, series: list[np.ndarray], taus: np.ndarray) -> Multistate:
    """Solves for the free energies.

    **Arguments:** `lambdas` (K,); `series`, w of each run, any shape; `taus` (K,), in measurements.

    **Returns:** `Multistate`.
    """
    share = np.repeat(1.0 / taus, [w.size for w in series])
    levels, place = np.unique(np.concatenate([w.ravel() for w in series]), return_inverse=True)
    N = np.array([w.size for w in series]) / taus
    return solve(lambdas, N, levels, np.bincount(place, share, len(levels)), first_guess(lambdas, series))


def solve(lambdas: np.ndarray, N: np.ndarray, levels: np.ndarray, counts: np.ndarray, start: np.ndarray) -> Multistate:
    """The same from a histogram: N_k, the `levels` of w, their `counts` Σ c, and f to start from."""
    reference = float(levels.mean())
    energy, f = levels - reference, start + lambdas * reference  # exponents stay small
    f = _solved(lambdas, N, energy, counts, f - f[0])
    logs = _log_denominator(lambdas, N, energy, f)
    covariance = _covariance(lambdas, N, energy, counts, f, logs)
    f = f - lambdas * reference
    with np.errstate(divide="ignore"):  # a level that only blocks left out had
        return Multistate(lambdas, f - f[0], covariance, levels, logs - f[0], np.log(counts))


def first_guess(lambdas: np.ndarray, series: list[np.ndarray]) -> np.ndarray:
    """f by trapezoids."""
    means = np.array([w.mean() for w in series])
    return -np.concatenate([[0.0], np.cumsum(0.5 * np.diff(lambdas) * (means[1:] + means[:-1]))])


def _log_denominator(lambdas: np.ndarray, N: np.ndarray, energy: np.ndarray, f: np.ndarray) -> np.ndarray:
    """log Σ_j N_j e^{f_j + λ_j w}, (E,)."""
    return np.logaddexp.reduce((np.log(N) + f)[:, None] + lambdas[:, None] * energy, axis=0)


def _solved(lambdas: np.ndarray, N: np.ndarray, energy: np.ndarray, counts: np.ndarray, f: np.ndarray) -> np.ndarray:
    """The minimum of Σ_n c_n log D_n(f) − Σ N_k f_k over f, f_0 = 0: Newton's steps, halved until they descend."""

    def objective(g: np.ndarray) -> float:
        return float(counts @ _log_denominator(lambdas, N, energy, g) - N @ g)

    at, value = f, objective(f)
    for _ in range(100):
        p = np.exp((np.log(N) + at)[:, None] + lambdas[:, None] * energy - _log_denominator(lambdas, N, energy, at))
        gradient = p @ counts - N
        hessian = np.diag(p @ counts) - (p * counts) @ p.T
        step = np.zeros_like(at)
        step[1:] = np.linalg.lstsq(hessian[1:, 1:], -gradient[1:], rcond=None)[0]
        size = 1.0
        while size > 1e-6 and (new := objective(at + size * step)) > value + 1e-12 * abs(value):
            size *= 0.5
        at, value = at + size * step, min(new, value)
        if np.abs(size * step).max() < 1e-9:
            break
    return at


def _covariance(
    lambdas: np.ndarray, N: np.ndarray, energy: np.ndarray, counts: np.ndarray, f: np.ndarray, logs: np.ndarray
) -> np.ndarray:
    """Θ = Wᵀ(1 − W N Wᵀ)⁺W by the eigenvectors of WᵀW, W (measurements, K) the weights at each λ."""
    W = np.exp(f[:, None] + lambdas[:, None] * energy - logs)  # (K, E)
    square, V = np.linalg.eigh((W * counts) @ W.T)
    root = np.sqrt(np.clip(square, 0.0, None))
    inner = np.eye(len(N)) - (root[:, None] * (V.T * N) @ V * root)
    return V @ (root[:, None] * np.linalg.pinv(inner, rcond=1e-10, hermitian=True) * root) @ V.T
