"""What a chain is worth: integrated autocorrelation time, effective sample size, split R̂.

    τ = 1 + 2 Σ_{k ≤ w} ρ_k,   w the least lag with w ≥ c τ_w, c = 5        effective size = chains · t / τ
    R̂ = √(((m − 1)/m W + B/m) / W),   W, B the variances within and between half chains of length m

Series have shape (chains, t, …): everything behind the second axis is done at once. τ is in steps of the series, and is
1 for independent draws; Sokal's τ_int is half of it. A τ from a series shorter than 50 τ is too small more often than
not: then it *raises*, carrying the estimate. **Proves** nothing: a chain that has never left a valley looks well.
**Cost** a Fourier transform. **Source** Sokal (1989); Gelman & Rubin (1992); Gelman et al., *Bayesian Data Analysis*.
"""

import numpy as np

WINDOW, LENGTHS = 5.0, 50.0


class TooShort(ValueError):
    """A chain is shorter than 50 of its autocorrelation times; `tau` is what was estimated, likely too small."""

    def __init__(self, tau: np.ndarray, length: int) -> None:
        self.tau = tau
        most = float(np.nanmax(tau))
        super().__init__(
            f"the chain has {length} measurements, {length / most:.1f} of its autocorrelation time of about {most:.3g} "
            f"or more; {LENGTHS:.0f} are needed to know it: run {LENGTHS * most / length:.1f} times as long at least"
        )


def autocorrelation(series: np.ndarray) -> np.ndarray:
    """ρ_k, k = 0 … t − 1, averaged over chains around their common mean.

    **Arguments:** `series`, shape (chains, t, …).

    **Returns:** shape (t, …); NaN for series that never change.
    """
    x = _checked(series)
    t = x.shape[1]
    x = x - x.mean(axis=(0, 1))
    size = 1 << (2 * t - 1).bit_length()
    power = np.abs(np.fft.rfft(x, size, axis=1)) ** 2
    cov = np.fft.irfft(power.mean(axis=0), size, axis=0)[:t].real
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(x.any(axis=(0, 1)), cov / cov[0], np.nan)


def autocorrelation_time(series: np.ndarray, *, check: bool = True) -> np.ndarray:
    """τ of series (chains, t, …), shape (…), in steps of the series, at least 1; NaN where nothing ever changes.

    **Raises:** `TooShort`, which carries τ, when t < 50 τ anywhere, unless `check` is False.
    """
    rho = autocorrelation(series)
    sums = 2.0 * np.cumsum(rho, axis=0) - 1.0
    lags = np.arange(len(rho)).reshape(-1, *[1] * (rho.ndim - 1))
    enough = lags >= WINDOW * sums
    enough[-1] = True
    tau = np.take_along_axis(sums, enough.argmax(axis=0)[None], axis=0)[0]
    tau = np.where(np.isnan(rho[0]), np.nan, np.maximum(tau, 1.0))
    if check and (len(rho) < LENGTHS * tau).any():
        raise TooShort(tau, len(rho))
    return tau


def effective_size(series: np.ndarray) -> np.ndarray:
    """How many independent draws series (chains, t, …) are worth, shape (…); 0 where nothing ever changes."""
    x = _checked(series)
    return np.nan_to_num(x.shape[0] * x.shape[1] / autocorrelation_time(x, check=False), nan=0.0)


def split_r_hat(series: np.ndarray) -> np.ndarray:
    """R̂ of half chains, shape (…): 1 when they agree, above 1.01 when they do not; NaN for a constant series.

    **Raises:** `ValueError` for fewer than 4 measurements a chain.
    """
    x = _checked(series)
    m = x.shape[1] // 2
    if m < 2:
        raise ValueError(f"R̂ needs 4 measurements a chain or more, not {x.shape[1]}")
    halves = np.concatenate([x[:, :m], x[:, -m:]])
    within, between = halves.var(axis=1, ddof=1).mean(axis=0), m * halves.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(((m - 1) / m * within + between / m) / within)


def _checked(series: np.ndarray) -> np.ndarray:
    x = np.asarray(series, np.float64)
    if x.ndim < 2 or 0 in x.shape[:2]:
        raise ValueError(f"series have shape (chains, t, …), not {x.shape}; one chain x is x[None]")
    return x
