"""What a run of Markov chain Monte Carlo found, and what it is worth."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import numpy as np

from calipers.core.model import AbstractDiscreteModel
from calipers.sampling.arviz_export import inference_data
from calipers.sampling.diagnostics import LENGTHS, autocorrelation_time, effective_size, split_r_hat
from calipers.sampling.estimates import Estimate, Function, estimates, jackknife, slowest
from calipers.sampling.gibbs import ergodic
from calipers.sampling.kernel import AbstractKernel
from calipers.sampling.measure import inverse_temperature
from calipers.sampling.mixing import FastMixing, proven

MOST_R_HAT = 1.01


class ChainResult(eqx.Module):
    """Estimates with error bars, and the diagnostics that may refute them.

    **Arguments:** `estimates`, by name; `series`, (chains, t) each; `tau`, `r_hat`, `effective_size` by name: of each
    series, and of "abs_magnetization"; τ is in sweeps; `states`, (chains, t, n), if kept; `measure_every`, `burn_in`;
    `kernel`, as text; `interrupted`; `reliable`: chains longer than 50 τ, R̂ below 1.01, and a kernel that certainly
    reaches every configuration; `mixing`, where heat bath of this model certainly mixes fast, else None.
    """

    estimates: dict[str, Estimate]
    series: dict[str, np.ndarray]
    tau: dict[str, float]
    r_hat: dict[str, float]
    effective_size: dict[str, float]
    states: np.ndarray | None
    measure_every: int = eqx.field(static=True)
    burn_in: int = eqx.field(static=True)
    kernel: str = eqx.field(static=True)
    interrupted: bool = eqx.field(static=True)
    ergodic: bool = eqx.field(static=True)
    mixing: FastMixing | None = eqx.field(static=True, default=None)

    def estimate(self, function: Callable[..., Any], *parts: str | np.ndarray) -> Estimate:
        """A function of means, with a standard error by jackknife.

        **Arguments:** `function` of as many means, elementwise; `parts`, names of series, or arrays (chains, t) made of
        them: `run.estimate(lambda a, b: a / b**2, run.series["overlap"]**4, run.series["overlap"]**2)`.
        """
        series = [self.series[p] if isinstance(p, str) else np.asarray(p, np.float64) for p in parts]
        return jackknife(series, function, slowest(dict(enumerate(series))))

    def to_arviz(self) -> Any:
        """An `arviz.InferenceData`: series as a posterior over (chain, draw), kept states over (chain, draw, site).

        **Raises:** `ImportError` naming the extra when arviz is not installed.
        """
        about = {"kernel": self.kernel, "burn_in": self.burn_in, "measure_every": self.measure_every}
        return inference_data(self.series, self.states, about | {"reliable": int(self.reliable)})

    @property
    def measurements(self) -> int:
        """Measurements of each chain."""
        return self.series["energy"].shape[1]

    @property
    def long_enough(self) -> bool:
        """Whether every chain is 50 of the longest autocorrelation times long."""
        known = [t for t in self.tau.values() if np.isfinite(t)]
        return self.measurements * self.measure_every >= LENGTHS * max(known, default=np.inf)

    @property
    def reliable(self) -> bool:
        """Whether nothing speaks against the error bars; that is no proof of them."""
        known = [r for r in self.r_hat.values() if np.isfinite(r)]
        return self.ergodic and self.long_enough and max(known, default=np.inf) < MOST_R_HAT

    def __str__(self) -> str:
        lines = [f"{name:20s} {value}" for name, value in self.estimates.items()]
        worth = [f"τ {name} {t:.3g} sweeps, R̂ {self.r_hat[name]:.4f}" for name, t in self.tau.items()]
        verdict = (
            "" if self.reliable else "\nnot reliable: the chain is too short, its parts disagree, or zeros part it"
        )
        known = [] if self.mixing is None else [str(self.mixing)]
        return "\n".join([*lines, *worth, *known]) + verdict


def summarise(
    model: AbstractDiscreteModel, kernel: AbstractKernel, series: dict[str, np.ndarray], states: np.ndarray | None,
    every: int, burn_in: int, interrupted: bool, functions: Mapping[str, Function] | None = None,
) -> ChainResult:  # fmt: skip
    """Estimates and diagnostics of series (chains, t)."""
    watched: dict[str, Any] = dict(series)
    if "magnetization" in series:
        watched["abs_magnetization"] = np.abs(series["magnetization"])
    length = series["energy"].shape[1]
    found, tau, r_hat, size = {}, {}, {}, {}
    if length >= 4:
        tau = {k: every * float(autocorrelation_time(x, check=False)) for k, x in watched.items()}
        r_hat = {k: float(split_r_hat(x)) for k, x in watched.items()}
        size = {k: float(effective_size(x)) for k, x in watched.items()}
        found = estimates(series, inverse_temperature(model), model.n, slowest(watched), functions)
    return ChainResult(
        found,
        series,
        tau,
        r_hat,
        size,
        states,
        every,
        burn_in,
        repr(kernel),
        interrupted,
        ergodic(model),
        proven(model),
    )
