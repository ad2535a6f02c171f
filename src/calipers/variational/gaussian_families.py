"""Gaussian trial families in flat parameters: draws from standard normals, entropy, and the chain rule between them.

    full       u = m + A z                  A lower-triangular, log diagonal          d + d(d+1)/2 parameters
    diagonal   u = m + s ∘ z                log s                                     2d
    low rank   u = m + s ∘ z₁ + V z₂        log s and V, shape (d, k)                 2d + dk

Each works in coordinates whitened by a Gaussian to start from, so that a fit does not depend on the scales or (full
rank) on any affine change of the parameters. **Source** Titsias & Lázaro-Gredilla (2014) for the full-rank gradient;
Ong, Nott & Smith (2018) for the low rank one.
"""

import abc

import numpy as np

from calipers.variational.approximation import Elliptical

_LOG_RANGE = 30.0  # log scales are kept within this of the start


class Family(abc.ABC):
    """Gaussians over R^d around a `start`; `noise` is the length of z."""

    noise: int

    def __init__(self, start: Elliptical):
        self.start, self.d = start, start.dimension

    def place(self, w: np.ndarray) -> np.ndarray:
        """Whitened points to u."""
        return self.start.place(w)

    def pull(self, gradients: np.ndarray) -> np.ndarray:
        """Gradients in u to gradients in whitened points."""
        factor = self.start.factor
        return gradients * factor if factor.ndim == 1 else gradients @ factor

    @abc.abstractmethod
    def first(self) -> np.ndarray:
        """Parameters of the start."""

    @abc.abstractmethod
    def draw(self, theta: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Whitened points, shape (s, d)."""

    @abc.abstractmethod
    def entropy(self, theta: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray]:
        """log |det| part of the entropy in whitened coordinates, over the draws z, and its gradient."""

    @abc.abstractmethod
    def chain(self, theta: np.ndarray, z: np.ndarray, g: np.ndarray) -> np.ndarray:
        """Gradient of Σ_s f(point_s) / S, from g = ∂f/∂point at each draw."""

    @abc.abstractmethod
    def result(self, theta: np.ndarray) -> Elliptical:
        """The Gaussian."""


class Full(Family):
    """Any covariance."""

    def __init__(self, start: Elliptical):
        super().__init__(start)
        self.noise = self.d
        self.rows, self.columns = np.tril_indices(self.d, -1)

    def first(self) -> np.ndarray:
        return np.zeros(2 * self.d + len(self.rows))

    def matrix(self, theta: np.ndarray) -> np.ndarray:
        """A, in whitened coordinates."""
        factor = np.diag(np.exp(np.clip(theta[self.d : 2 * self.d], -_LOG_RANGE, _LOG_RANGE)))
        factor[self.rows, self.columns] = theta[2 * self.d :]
        return factor

    def draw(self, theta: np.ndarray, z: np.ndarray) -> np.ndarray:
        return theta[: self.d] + z @ self.matrix(theta).T

    def entropy(self, theta: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray]:
        gradient = np.zeros(len(theta))
        gradient[self.d : 2 * self.d] = 1.0
        return float(theta[self.d : 2 * self.d].sum()), gradient

    def chain(self, theta: np.ndarray, z: np.ndarray, g: np.ndarray) -> np.ndarray:
        outer = g.T @ z / len(z)
        scales = np.exp(np.clip(theta[self.d : 2 * self.d], -_LOG_RANGE, _LOG_RANGE))
        return np.concatenate([g.mean(0), np.diag(outer) * scales, outer[self.rows, self.columns]])

    def result(self, theta: np.ndarray) -> Elliptical:
        factor = self.start.factor
        base = np.diag(factor) if factor.ndim == 1 else factor
        return Elliptical(self.place(theta[None, : self.d])[0], base @ self.matrix(theta))


class Diagonal(Family):
    """Independent coordinates: whitened by the start's standard deviations alone."""

    def __init__(self, start: Elliptical):
        scales = start.factor if start.factor.ndim == 1 else np.sqrt((start.factor**2).sum(1))
        super().__init__(Elliptical(start.mean, scales))
        self.noise = self.d

    def first(self) -> np.ndarray:
        return np.zeros(2 * self.d)

    def _scales(self, theta: np.ndarray) -> np.ndarray:
        return np.exp(np.clip(theta[self.d :], -_LOG_RANGE, _LOG_RANGE))

    def draw(self, theta: np.ndarray, z: np.ndarray) -> np.ndarray:
        return theta[: self.d] + z * self._scales(theta)

    def entropy(self, theta: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray]:
        return float(theta[self.d :].sum()), np.repeat([0.0, 1.0], self.d)

    def chain(self, theta: np.ndarray, z: np.ndarray, g: np.ndarray) -> np.ndarray:
        return np.concatenate([g.mean(0), (g * z).mean(0) * self._scales(theta)])

    def result(self, theta: np.ndarray) -> Elliptical:
        return Elliptical(self.place(theta[None, : self.d])[0], self.start.factor * self._scales(theta))


class LowRank(Family):
    """A diagonal plus k directions."""

    def __init__(self, start: Elliptical, rank: int):
        scales = start.factor if start.factor.ndim == 1 else np.sqrt((start.factor**2).sum(1))
        super().__init__(Elliptical(start.mean, scales))
        self.k, self.noise = rank, self.d + rank
        self.factor = start.factor

    def first(self) -> np.ndarray:
        v = np.zeros((self.d, self.k))
        v[np.arange(self.k) % self.d, np.arange(self.k)] = 0.1
        if self.factor.ndim == 2:  # the leading directions of the start's correlations
            values, vectors = np.linalg.eigh(np.cov(self.factor / self.start.factor[:, None], bias=True) * self.d)
            v = vectors[:, ::-1][:, : self.k] * np.sqrt(np.maximum(values[::-1][: self.k] - 1.0, 0.01))
            v = np.concatenate([v, np.zeros((self.d, self.k - v.shape[1]))], axis=1)
        return np.concatenate([np.zeros(self.d), np.full(self.d, -0.35), v.ravel()])

    def _split(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scales = np.exp(np.clip(theta[self.d : 2 * self.d], -_LOG_RANGE, _LOG_RANGE))
        return theta[: self.d], scales, theta[2 * self.d :].reshape(self.d, self.k)

    def draw(self, theta: np.ndarray, z: np.ndarray) -> np.ndarray:
        mean, s, v = self._split(theta)
        return mean + z[:, : self.d] * s + z[:, self.d :] @ v.T

    def entropy(self, theta: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray]:
        _, s, v = self._split(theta)
        scaled = v / s[:, None]
        inner = np.eye(self.k) + scaled.T @ scaled
        solved = np.linalg.solve(inner, scaled.T).T  # (d, k)
        value = float(np.log(s).sum() + 0.5 * np.linalg.slogdet(inner)[1])
        gradient = np.concatenate([np.zeros(self.d), 1.0 - (scaled * solved).sum(1), (solved / s[:, None]).ravel()])
        return value, gradient

    def chain(self, theta: np.ndarray, z: np.ndarray, g: np.ndarray) -> np.ndarray:
        _, s, _ = self._split(theta)
        return np.concatenate([g.mean(0), (g * z[:, : self.d]).mean(0) * s, (g.T @ z[:, self.d :] / len(z)).ravel()])

    def result(self, theta: np.ndarray) -> Elliptical:
        mean, s, v = self._split(theta)
        scale = self.start.factor
        covariance = (np.diag(s**2) + v @ v.T) * scale[:, None] * scale
        return Elliptical(self.place(mean[None])[0], np.linalg.cholesky(covariance))


def family(rank: str | int, start: Elliptical) -> Family:
    """The family of a rank: "full", "diagonal", or the number of directions."""
    if rank == "full":
        return Full(start)
    return Diagonal(start) if rank == "diagonal" or rank == 0 else LowRank(start, int(rank))
