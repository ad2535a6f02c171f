"""One spin in the field of its neighbours: the self-consistency equations of a uniform magnet, solved completely.

    mean field     m = tanh((H + zJm)/T),                        T_c = zJ
    Bethe lattice  x = h + (z−1) atanh(tanh K tanh x),  m = tanh(h + z atanh(tanh K tanh x)),   T_c = 2J/log(z/(z−2))

z neighbours, coupling J, field H, temperature T (energies all; k_B = 1), h = H/T, K = J/T. In x = atanh m the
mean-field equation is x − h − (zJ/T) tanh x = 0, whose left side turns only at cosh²x = zJ/T: at most one root lies in
each of three known intervals, so none is missed, near T_c, near the spinodals and as T → 0 alike.
**Source** Weiss 1907; Bragg & Williams 1934; Bethe 1935; Baxter (1982), ch. 3 and 4.
"""

import math
from typing import Any

import equinox as eqx
import numpy as np
from scipy.optimize import brentq

from calipers.exact.closed_forms import onsager_critical_temperature, yang_magnetization


class MeanFieldEquation(eqx.Module):
    """All solutions of m = tanh((H + zJm)/T), ascending in m.

    **Arguments:** `m`, shape (r,), magnetization per spin; `stable`, shape (r,), whether the slope of the right side is
    below 1, so that m is a minimum of the free energy; `free_energy`, shape (r,), per spin, in units of energy; `z`,
    `J`, `H`, `T` as asked.
    """

    m: np.ndarray
    stable: np.ndarray
    free_energy: np.ndarray
    z: float
    J: float
    H: float
    T: float

    @property
    def critical_temperature(self) -> float:
        """T_c = zJ, in units of energy; 0 for J ≤ 0, where nothing uniform orders by itself."""
        return max(self.z * self.J, 0.0)

    @property
    def equilibrium(self) -> float:
        """The solution of lowest free energy; of two equal ones, the positive."""
        low = self.free_energy.min()
        best = self.free_energy <= low + 1e-12 * (abs(low) + abs(self.z * self.J) + abs(self.H))
        return float(self.m[best].max())

    def right_side(self, m: Any) -> Any:
        """tanh((H + zJm)/T), for any m."""
        x = self.H + self.z * self.J * np.asarray(m, float)
        with np.errstate(over="ignore"):
            return np.sign(x) if self.T == 0 else np.tanh(x / self.T)

    def free_energy_at(self, m: Any) -> Any:
        """The variational free energy per spin, −zJm²/2 − Hm − T S(m): an upper bound on F/N of any such magnet."""
        m = np.asarray(m, float)
        return -0.5 * self.z * self.J * m**2 - self.H * m - self.T * _entropy(m)


def mean_field_equation(z: float, J: float, H: float, T: float) -> MeanFieldEquation:
    """Solves m = tanh((H + zJm)/T) completely.

    **Arguments:** `z`, neighbours; `J`, coupling, of either sign; `H`, field; `T` ≥ 0, temperature (0: the limit).

    **Returns:** one solution, or three where a ferromagnet has a metastable and an unstable one beside.

    **Raises:** `ValueError` when z or T is negative, or a number is not finite.
    """
    if not (all(map(math.isfinite, (z, J, H, T))) and T >= 0 and z >= 0):
        raise ValueError(f"z={z}, J={J}, H={H}, T={T}: all must be finite, z and T not negative")
    K, h = (z * J / T, H / T) if T > 0 else (math.inf, math.inf)
    if not (math.isfinite(K) and math.isfinite(h)):
        m, stable = _ground_states(z * J, H)
    else:
        x = np.array(_roots(K, h))
        m, stable = np.tanh(x), K / np.cosh(np.minimum(np.abs(x), 350.0)) ** 2 < 1.0
    blank = MeanFieldEquation(m, stable, np.zeros(len(m)), float(z), float(J), float(H), float(T))
    return eqx.tree_at(lambda s: s.free_energy, blank, blank.free_energy_at(m))


def _roots(K: float, h: float) -> list[float]:
    """The roots of g(x) = x − h − K tanh x, ascending."""

    def g(x: float) -> float:
        return x - h - K * math.tanh(x)

    reach = 2.0 * (abs(h) + abs(K)) + 1.0
    turn = math.acosh(math.sqrt(K)) if K > 1.0 else 0.0
    if turn == 0.0:  # g only rises
        return [0.0 if h == 0.0 else float(brentq(g, -reach, reach, xtol=1e-300, rtol=1e-15))]
    found: list[float] = []
    for low, high in ((-reach, -turn), (-turn, turn), (turn, reach)):
        if h == 0.0 and low == -turn:
            found.append(0.0)
        elif g(low) == 0.0 or g(low) * g(high) < 0.0:
            found.append(low if g(low) == 0.0 else float(brentq(g, low, high, xtol=1e-300, rtol=1e-15)))
    return found


def _ground_states(field: float, H: float) -> tuple[np.ndarray, np.ndarray]:
    """The solutions at T = 0, where tanh is a step and `field` = zJ."""
    pairs = [(-1.0, True)] if H - field < 0 else []
    pairs += [(-H / field, field < 0)] if abs(H) < abs(field) else []
    pairs += [(1.0, True)] if H + field > 0 else []
    pairs = pairs or [(0.0, False)]  # H = zJ = 0: nothing acts on the spin
    return np.array([m for m, _ in pairs]), np.array([s for _, s in pairs])


def _entropy(m: np.ndarray) -> np.ndarray:
    """Entropy of a spin of magnetization m, nats."""
    p = np.stack([(1.0 + m) / 2.0, (1.0 - m) / 2.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(p > 0, p * np.log(p), 0.0).sum(axis=0)


def mean_field_magnetization(z: float, J: float, T: Any, H: float = 0.0) -> np.ndarray:
    """The equilibrium m(T) of mean field, in [0, 1] at H = 0; `T` > 0 of any shape."""
    T = np.asarray(T, float)
    K, h = z * J / T, np.full(T.shape, abs(H)) / T
    turn = np.arccosh(np.sqrt(np.maximum(K, 1.0)))  # the largest root lies at or beyond it
    return _sign(H) * np.tanh(_largest_root(lambda x: h + K * np.tanh(x), turn, np.maximum(K, 0.0) + h))


def bethe_magnetization(z: float, J: float, T: Any, H: float = 0.0) -> np.ndarray:
    """The equilibrium m(T) deep inside a Bethe lattice of `z` neighbours, in [0, 1] at H = 0; `T` > 0 of any shape."""
    T = np.asarray(T, float)
    K, h = J / T, np.full(T.shape, abs(H)) / T
    t, most = np.tanh(K), (z - 1.0) * np.tanh(K)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.where(most > 1.0, (most - 1.0) / (most - t**2), 0.0)  # tanh² x where the slope of the right side is 1
    turn = np.arctanh(np.sqrt(np.minimum(y, 1.0 - 1e-16)))
    x = _largest_root(lambda x: h + (z - 1.0) * _transmit(K, x), turn, np.maximum((z - 1.0) * K, 0.0) + h)
    return _sign(H) * np.tanh(h + z * _transmit(K, x))


def bethe_critical_temperature(z: float, J: float = 1.0) -> float:
    """T_c = 2J/log(z/(z−2)) of the Bethe lattice, where (z−1) tanh(J/T) = 1; 0 for z ≤ 2."""
    return 2.0 * J / math.log(z / (z - 2.0)) if z > 2 and J > 0 else 0.0


def _transmit(K: np.ndarray, x: np.ndarray) -> np.ndarray:
    """atanh(tanh K tanh x), without cancellation."""
    a, b = np.abs(x), np.abs(K)
    size = np.minimum(a, b) + 0.5 * (np.log1p(np.exp(-2.0 * (a + b))) - np.log1p(np.exp(-2.0 * np.abs(a - b))))
    return np.sign(x) * np.sign(K) * np.maximum(size, 0.0)


def _largest_root(right: Any, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Bisection for x = right(x) on [low, high], where x − right(x) rises; without a change of sign, `low`."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        above = middle >= right(middle)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high


def _sign(H: float) -> float:
    return -1.0 if H < 0 else 1.0


class MagnetizationCurves(eqx.Module):
    """m(T) at H = 0 on a lattice of `z` neighbours: mean field, Bethe lattice, and the square lattice exactly (z = 4).

    **Arguments:** temperatures `T`, shape (t,), units of energy; curves of the same shape (`exact` None for z ≠ 4);
    `critical`, the temperatures at which each vanishes, by name.
    """

    T: np.ndarray
    mean_field: np.ndarray
    bethe: np.ndarray
    exact: np.ndarray | None
    critical: dict[str, float]
    z: int = 4
    J: float = 1.0


def magnetization_curves(z: int = 4, J: float = 1.0, T: Any = None) -> MagnetizationCurves:
    """Spontaneous magnetization against temperature (default: up to a little above zJ, dense at each T_c)."""
    critical = {"mean field": z * J, "Bethe": bethe_critical_temperature(z, J)}
    if z == 4:
        critical["exact"] = onsager_critical_temperature(J)
    if T is None:
        near = [Tc * (1.0 - np.geomspace(1e-9, 0.3, 60)) for Tc in critical.values() if Tc > 0]
        T = np.unique(np.concatenate([np.linspace(0.02, 1.15, 200) * z * J, *near, list(critical.values())]))
    T = np.asarray(T, float)
    exact = yang_magnetization(T, J) if z == 4 else None
    return MagnetizationCurves(
        T, mean_field_magnetization(z, J, T), bethe_magnetization(z, J, T), exact, critical, z, J
    )
