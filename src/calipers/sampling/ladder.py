"""Chains at many temperatures of one model, λ_0 = 0 … λ_K = 1, and the log weights w that they show.

At λ = 0 configurations are drawn independently. A kernel of one temperature begins each λ from where the one before it
ended its burn-in; `ParallelTempering` brings its own ladder, above which λ = 0 is put. **Proves** nothing. **Cost**
points · chains · sweeps of the kernel. **Fails** where chains do not mix: diagnostics say so, if they can.
"""

import math
from typing import Any

import numpy as np

from calipers.models.tempered import tempered
from calipers.sampling.annealed import thermodynamic_length
from calipers.sampling.diagnostics import LENGTHS, autocorrelation_time
from calipers.sampling.kernel import AbstractKernel
from calipers.sampling.tempered_path import TemperedPath
from calipers.sampling.tempering import ParallelTempering, TemperingState

PILOT = (16, 100)  # chains, and steps of theirs
_FEWEST, _MOST = 8, 1024  # points


class Ladder:
    """Runs that can be continued: `extend(sweeps)`, then read `series`, (K + 1, chains, t).

    **Arguments:** `path`; `kernel`, None for the path's; `points` K, or None for neighbours one standard deviation of w
    apart by a pilot run; `chains`; `burn_in` sweeps; `random`.
    """

    def __init__(
        self, path: TemperedPath, kernel: AbstractKernel | None, points: int | None, chains: int, burn_in: int,
        random: np.random.Generator,
    ) -> None:  # fmt: skip
        self.path, self.random, self.chains = path, random, chains
        self.kernel = path.kernel if kernel is None else kernel
        self._states: list[Any] = []
        if isinstance(self.kernel, ParallelTempering):
            self._states.append(self._begun(1.0, None, burn_in))
            self.lambdas = np.concatenate([[0.0], self._states[0].ladder])
        else:
            length = thermodynamic_length(path, random, *PILOT)
            if points is None:
                points = int(min(max(math.ceil(float(length.length[-1])), _FEWEST), _MOST))
            self.lambdas = length.even(points)
            x = path.draw(random, chains)
            for lam in self.lambdas[1:].tolist():
                self._states.append(self._begun(lam, x, burn_in))
                x = self.kernel.states(self._states[-1]).astype(np.int32)
        self._found: list[np.ndarray] = []

    def extend(self, sweeps: int) -> None:
        """As many further sweeps, each of them measured."""
        found = np.zeros((len(self.lambdas), self.chains, sweeps))
        for t in range(sweeps):
            found[0, :, t] = self.path.log_weights(self.path.draw(self.random, self.chains))
            row = 1
            for k, state in enumerate(self._states):
                self._states[k], _ = self.kernel.step(state, 1)
                for w in self._weights(self._states[k]):
                    found[row, :, t] = w
                    row += 1
        self._found.append(found)

    @property
    def series(self) -> np.ndarray:
        """w at every λ, (K + 1, chains, t)."""
        return np.concatenate(self._found, axis=2)

    def _begun(self, lam: float, start: np.ndarray | None, burn_in: int) -> Any:
        seed = int(self.random.integers(2**62))
        model = tempered(self.path.model, lam)
        state = self.kernel.init(model, seed=seed, chains=self.chains, start=start)
        return self.kernel.step(state, burn_in)[0] if burn_in else state

    def _weights(self, state: Any) -> list[np.ndarray]:
        """w of a state's chains, at each of the temperatures that it holds."""
        if not isinstance(state, TemperingState):
            return [self.path.log_weights(self.kernel.states(state))]
        chains, replicas, n = state.values.shape
        spins = state.values.dtype == np.int8
        down = (state.values < 0).astype(np.int8) if spins else state.values
        down = down.reshape(chains * replicas, n)
        return list(self.path.log_weights(down).reshape(chains, replicas).T)


def inefficiency(series: np.ndarray) -> tuple[np.ndarray, float]:
    """τ of every λ of series (K + 1, chains, t), in measurements, and how many of the largest τ a chain is long."""
    taus = np.nan_to_num(autocorrelation_time(np.moveaxis(series, 0, 2), check=False), nan=1.0)
    return taus, series.shape[2] / float(taus.max())


def reliable(lengths: float) -> bool:
    """Whether chains are long enough for their autocorrelation times to be believed."""
    return lengths >= LENGTHS
