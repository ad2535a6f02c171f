"""Is the evidence of a model computed rightly? Simulated data give exact posterior draws, hence both sides.

    z_r ~ prior, x_r ~ p(x | z_r)   ⇒   z_r is one exact draw from p(z | x_r)
    E[ŵ_r | x_r] = Z_r forwards from a fit,  E[ŵ′_r | x_r] = 1/Z_r backwards from chains that began at z_r
    mean_r log Z_r  ∈  [ mean_r log ŵ_r − log(2/δ)/R,  −mean_r log ŵ′_r + log(2/δ)/R ]   but for a probability δ

The products Π ŵ_r/Z_r and Π ŵ′_r Z_r have mean one, and Markov's inequality does the rest (docs/theorems.md, theorem
V6): the slack that one data set cannot avoid is shared by R. **Proves** the interval for the mean log evidence over
these data sets, if simulator, prior and likelihood agree. The ranks of z_r among posterior draws are uniform if the
posterior is computed rightly: a χ² test a coordinate, Bonferroni over coordinates. **Cost** R fits and 2R short
annealings. **Fails** to see what data simulated from the prior do not show. **Source** Grosse, Ancha & Roy, *Measuring
the reliability of MCMC inference with bidirectional Monte Carlo* (2016); Talts et al., *Simulation-based calibration*.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from scipy.special import chdtrc

from calipers.bounds.confidence import check_delta, log_mean
from calipers.bounds.hamiltonian_annealing import Bracketed, fitted_trial, prepare
from calipers.exact.sampling import generator
from calipers.models.posterior import Posterior
from calipers.sampling.hamiltonian import anneal_backwards, anneal_forwards, hamiltonian_step
from calipers.variational.approximation import AbstractApproximation
from calipers.variational.target import Target

_CHAINS = 128
_WALK = 32  # transitions from the exact draw before chains go back
_BINS = 8
_SUSPICIOUS = 0.01  # p-value of the ranks, over all coordinates


class Validation(eqx.Module):
    """What R simulated data sets said of a model and its fits.

    **Arguments:** `lower`, `upper`, of the mean log evidence over the data sets, nats, which fail with probability
    ≤ `delta`; `forwards`, `backwards`, shape (R,), estimates of each log evidence whose means lie below and above it;
    `ranks`, shape (R, d), of the true parameters among `draws` posterior draws; `p_values`, shape (d,), of their
    uniformity; `names` of the d coordinates.
    """

    lower: float
    upper: float
    delta: float
    forwards: np.ndarray
    backwards: np.ndarray
    ranks: np.ndarray
    draws: int
    p_values: np.ndarray
    names: tuple[str, ...] = eqx.field(static=True)

    @property
    def gap(self) -> float:
        """Mean of backwards − forwards, nats a data set: how far the two ways are apart, slack left out."""
        return float(np.mean(self.backwards - self.forwards))

    @property
    def calibrated(self) -> bool:
        """Whether no coordinate's ranks look other than uniform."""
        return bool(self.p_values.min() * len(self.p_values) > _SUSPICIOUS)

    @property
    def verdict(self) -> str:
        """The finding in one sentence."""
        if self.lower > self.upper:
            return "the model contradicts itself: prior, likelihood and simulator are not of one distribution"
        if not self.calibrated:
            worst = int(np.argmin(self.p_values))
            return f"posterior draws are not calibrated: the ranks of {self.names[worst]} are not uniform"
        return f"evidence and posterior agree with simulated data, to {max(self.gap, 0.0):.2g} nats a data set"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {
            "mean_log_evidence": {"lower": self.lower, "upper": self.upper},
            "delta": self.delta,
            "gap": self.gap,
            "forwards": self.forwards.tolist(),
            "backwards": self.backwards.tolist(),
            "p_values": dict(zip(self.names, self.p_values.tolist(), strict=True)),
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        return (
            f"mean log evidence of {len(self.forwards)} simulated data sets ∈ [{self.lower:.4f}, {self.upper:.4f}] "
            f"nats (statistical, δ = {self.delta:g}); {self.verdict}"
        )


def validate(
    model: Posterior,
    *,
    key: Any,
    datasets: int = 20,
    delta: float = 0.01,
    steps: int | None = None,
    fit: Callable[[Target, np.random.Generator], AbstractApproximation] = fitted_trial,
    progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Simulates data sets from the model, brackets the evidence of each, and reports calibration.

    **Arguments:** `model`, with `prior_sample` and `simulate`; its own data only say how data look; `key`, a typed
    `jax.random.key`; `datasets`, R; `delta`, that the interval may fail with; `steps` of the annealing, None to choose;
    `fit`, from a target to the trial density that chains start from; `progress(done, datasets)`, called after each.

    **Returns:** a `Validation`; print it, or read `verdict`.

    **Raises:** `ValueError` when the model cannot draw from its prior or simulate data.
    """
    if model.prior_sample is None or model.simulate is None:
        raise ValueError("validate simulates: the posterior needs prior_sample(key) and simulate(key, z)")
    check_delta(delta)
    if datasets < 1:
        raise ValueError(f"datasets is {datasets}; at least one is needed")
    random = generator(key)
    found = []
    for r in range(datasets):
        data, truth = _simulated(model, random)
        target = Target(model.with_data(data))
        prepared = prepare(target, fit(target, random), random, steps=steps)
        found.append(_both_ways(prepared, truth, random))
        if progress is not None:
            progress(r + 1, datasets)
    forwards, backwards, ranks = (np.array(part) for part in zip(*found, strict=True))
    slack = math.log(2.0 / delta) / datasets
    return Validation(
        lower=float(forwards.mean()) - slack,
        upper=float(backwards.mean()) + slack,
        delta=delta,
        forwards=forwards,
        backwards=backwards,
        ranks=ranks,
        draws=_CHAINS,
        p_values=_uniformity(ranks, _CHAINS),
        names=tuple(model.space.coordinate_names()),
    )


def _simulated(model: Posterior, random: np.random.Generator) -> tuple[Any, np.ndarray]:
    """Data from the model, and the parameters they came from, as a flat vector."""
    assert model.prior_sample is not None
    assert model.simulate is not None
    with jax.enable_x64(True):
        first, second = jax.random.split(jax.random.key(int(random.integers(2**63))))
        z = model.prior_sample(first)
        return model.simulate(second, z), np.asarray(model.unconstrain(z), np.float64)


def _both_ways(prepared: Bracketed, truth: np.ndarray, random: np.random.Generator) -> tuple[float, float, np.ndarray]:
    """log ŵ, −log ŵ′, and the ranks of the truth among importance-resampled ends of the forward chains."""
    bridge, schedule = prepared.bridge, prepared.schedule
    ahead = anneal_forwards(bridge, schedule, prepared.trial.sample(random, _CHAINS), random)
    cloud = bridge.cloud(np.repeat(truth[None], _CHAINS, 0))
    for _ in range(_WALK):  # every chain is an exact draw at every step; that they began together costs variance only
        cloud, _ = hamiltonian_step(bridge, cloud, 1.0, float(schedule.step[-1]), random)
    back = anneal_backwards(bridge, schedule, cloud.u, random)
    weights = np.exp(ahead.logs - log_mean(ahead.logs)) / len(ahead.logs)
    chosen = random.choice(_CHAINS, _CHAINS, p=weights / weights.sum())
    ranks = (ahead.end.u[chosen] < truth).sum(0)
    return log_mean(ahead.logs), -log_mean(back.logs), ranks


def _uniformity(ranks: np.ndarray, draws: int) -> np.ndarray:
    """p-values of a χ² test that ranks among `draws` draws are uniform, a coordinate each, shape (d,)."""
    bins = min(_BINS, max(len(ranks) // 5, 2))
    held = np.clip(ranks * bins // (draws + 1), 0, bins - 1)
    counts = np.array([(held == b).sum(0) for b in range(bins)])
    sizes = np.bincount(np.arange(draws + 1) * bins // (draws + 1), minlength=bins) / (draws + 1)
    expected = sizes[:, None] * len(ranks)
    return np.asarray(chdtrc(bins - 1, ((counts - expected) ** 2 / expected).sum(0)))
