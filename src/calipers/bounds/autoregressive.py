"""Autoregressive networks: log Z from a trained trial distribution that can be drawn from, for every discrete model.

    log Z ≥ E_q[log p̃ − log q]  (an estimate here, with its error);    Z = E_q[p̃ / q]  (a lower side at δ)

The network (variational/autoregressive.py) starts as the proposal of mini-buckets, sees exact Markov frontiers, and is
trained by natural gradients (variational/natural_gradient.py); fresh draws in float64 then give the ELBO, importance
weights, their effective share, and by a betting confidence sequence a lower side at δ. **Proves** that side with
probability ≥ 1 − δ however badly the network was trained (docs/theorems.md, theorem N2), and the mini-buckets' upper
side. **Cost** a step: see natural_gradient.py. **Fails** by a lower side far below where weights vary; a network that
misses a part of the support shows a good ELBO's error and effective share, and a low log Z: compare several keys.
An assignment of weight zero is never drawn where a table forbids it given the frontier; a draw whose frontier allows no
state counts with weight zero, and then the ELBO is −∞ (stats `dead` is their share, `elbo` that of the others less
what they lack). **Source** Wu, Wang & Zhang (2019); Nicoli et al. (2020) for the importance weights.
"""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from calipers.bounds.autoregressive_tables import network_of
from calipers.bounds.confidence import log_mean
from calipers.bounds.mean_weight import MeanWeight
from calipers.bounds.mini_bucket import MiniBucket
from calipers.bounds.proposal_climb import best_run
from calipers.core.answer import Answer, Grounds, Result, Side, exact_sides, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_tree import Run
from calipers.exact.kernels import ULP
from calipers.exact.ordering import adjacency, greedy_orders
from calipers.models.reduction import Reduced, as_reduced
from calipers.sampling import checkpoint as file
from calipers.variational.autoregressive import Network, draw
from calipers.variational.autoregressive_ascent import Ascent

_ROUND = 25  # steps between two answers
_BLOCK = 1024  # fresh draws at a time
_RESERVE = 0.3  # of the time, for fresh draws
_runs = itertools.count()


class Autoregressive(AbstractMethod):
    """A network per variable over its Markov frontier, trained, then drawn from.

    **Arguments:** `ibound`, of the mini-buckets it starts from: log2 of their messages' entries; `sweeps` and `orders`
    of these, as in `MiniBucket`; `hidden` units a variable; `steps` of training at most; `draws` a step; `natural`,
    natural gradients rather than Adam; `rate`, or None for 0.3 (natural) or 0.003 (Adam); `annealing`, steps over which
    the tables grow to their full power; `tolerance`, variance of log weights at which training ends; `samples`, fresh
    draws at most; `checkpoint`, a file to write after each round, and to go on from if it exists.

    **Proves** the lower side statistically (`limits.delta` > 0), the upper one by mini-buckets. Needs a `key`.
    """

    proves: ClassVar[Proves] = Proves.BOTH
    ibound: int = 8
    hidden: int = 16
    steps: int = 500
    draws: int = 512
    natural: bool = True
    rate: float | None = None
    annealing: int = 50
    tolerance: float = 1e-4
    samples: int = 65536
    sweeps: int = 20
    orders: int = 6
    checkpoint: str | None = None

    def __check_init__(self) -> None:
        for name, least in (("hidden", 1), ("steps", 0), ("draws", 2), ("annealing", 0), ("samples", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more")
        if self.rate is not None and not self.rate > 0.0:
            raise ValueError(f"rate is {self.rate}; it must be positive")
        self._mini_bucket()  # refuses what makes no sense

    def _mini_bucket(self) -> MiniBucket:
        return MiniBucket(self.ibound, self.sweeps, self.orders)

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model."""
        reduced = as_reduced(model)
        text = (
            f"An autoregressive network over {reduced.model.n} variables, from mini-buckets of i-bound {self.ibound}."
        )
        return Plan(text, reduced, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """The mini-buckets' side; estimates while it trains; then estimates and a lower side from fresh draws."""
        if key is None:
            raise Refusal("autoregressive networks are random; give them a key, such as jax.random.key(0)")
        reduced, limits = plan.structure, plan.limits
        if reduced.log_constant == -math.inf or not reduced.model.n:
            sides = exact_sides(reduced.log_constant, reduced.error, repr(self))
            yield Answer(*sides, value=reduced.log_constant, result=Result.EXACT, plan=plan)
            return
        allowed = limits.seconds_left()
        run, bound = self._run(reduced, limits)
        known = self._mini_bucket().answer(reduced, run, bound, self.sweeps, plan)
        if known.exact:
            yield known
            return
        network = network_of(run, list(reduced.model.scopes))
        self._refuse(network, limits)
        yield known
        ascent = self._ascent(network, key)
        about = self._about(reduced, key)
        self._load(ascent, about)
        for stats in self._train(ascent, limits, _RESERVE * allowed):
            self._save(ascent, about)
            value = stats.pop("log_mean", math.inf) + bound + reduced.log_constant
            if "elbo" in stats:
                stats["elbo"] += bound + reduced.log_constant
            yield known & Answer(value=value if math.isfinite(value) else None, stats=stats)
        for answer in self._measure(ascent, reduced, run, bound, key, plan):
            yield known & answer

    def _run(self, reduced: Reduced, limits: Limits) -> tuple[Run, float]:
        """Mini-buckets along orders that depend on nothing but the model, so that a run can be gone on with."""
        graph = adjacency(reduced.model.n, reduced.model.scopes, reduced.model.sizes)
        orders = list(greedy_orders(graph, self.orders, np.random.default_rng(0), math.inf))
        run, bound, _ = best_run(reduced, orders, self.ibound, self.sweeps, limits)
        return run, bound

    def _refuse(self, network: Network, limits: Limits) -> None:
        v, p = network.frontier.shape
        k = network.codes.shape[1]
        floats = 4.0 * v * (p + self.hidden) * (self.hidden + k) * 5.0 + 8.0 * network.tables.size
        floats += 4.0 * v * max(self.draws, 2 * _BLOCK) * (p + 3 * self.hidden + 2 * k) + 16.0 * self.draws**2
        if floats > limits.memory:
            raise Refusal(f"a network over {v} variables with frontiers of {p} needs {floats / 1e9:.3g} GB")

    def _ascent(self, network: Network, key: Any) -> Ascent:
        with jax.enable_x64(True):
            return Ascent(
                network, jax.random.fold_in(key, 0), hidden=self.hidden, draws=self.draws, natural=self.natural,
                rate=self.rate, annealing=self.annealing,
            )  # fmt: skip

    def _train(self, ascent: Ascent, limits: Limits, reserve: float) -> Iterator[dict[str, Any]]:
        """Rounds of steps; what the draws of each round say, which are from the network as it was."""
        while ascent.steps < self.steps and not limits.seconds_left() < reserve:
            logs = []
            with jax.enable_x64(True):
                for _ in range(min(_ROUND, self.steps - ascent.steps)):
                    power = ascent.beta()
                    logs.append(ascent.advance())
            if power < 1.0:  # draws of another model than the one asked about
                yield {"steps": ascent.steps, "beta": power}
                continue
            alive = logs[-1][np.isfinite(logs[-1])]
            variance = float(alive.var()) if len(alive) else math.inf
            elbo = float(alive.mean()) if len(alive) else -math.inf
            yield {"steps": ascent.steps, "elbo": elbo, "variance": variance, "log_mean": log_mean(logs[-1])}
            if variance < self.tolerance and len(alive) == len(logs[-1]):
                return

    def _measure(
        self, ascent: Ascent, reduced: Reduced, run: Run, bound: float, key: Any, plan: Plan
    ) -> Iterator[Answer]:
        """Fresh draws: pilot, then batches that are bet on."""
        network, shift = ascent.network, bound + reduced.log_constant
        fresh, spread = jax.random.fold_in(key, 1), 0.0

        def weights(number: int) -> np.ndarray:
            nonlocal spread
            with jax.enable_x64(True):
                found = draw(network, ascent.result(), jax.random.fold_in(fresh, number), 1.0, _BLOCK, exact=True)
                spread = max(spread, float(found.size))
                return np.asarray(found.logs)

        look = ("autoregressive", next(_runs))
        logs = weights(0)
        delta, most = plan.limits.delta, max(self.samples // _BLOCK, 1)
        mean = MeanWeight(logs, most * _BLOCK, delta) if delta > 0.0 else None
        for number in range(1, most + 1):
            new = weights(number)
            logs = np.concatenate([logs, new])
            error = reduced.error + 2.0 * run.error + 16.0 * ULP * network.size * (1.0 + spread) + ULP * abs(shift)
            lower = Side(
                -math.inf, Grounds.NONE, reason="a failure probability (delta) of 0 allows no statistical side"
            )
            if mean is not None:
                mean.add(new)
                lower = self._lower(mean, shift, error, delta, look)
            answer = Answer(lower, value=self._value(logs, shift), stats=self._stats(ascent, logs, shift))
            close = answer.value is not None and answer.value - lower.value < 0.1 * plan.limits.gap
            if number & (number - 1) == 0 or number == most or close:
                yield answer
            if close:
                return

    def _lower(self, mean: MeanWeight, shift: float, error: float, delta: float, look: tuple) -> Side:
        low = mean.log_lower()
        if low == -math.inf:
            reason = "the weights of the draws vary too much to bound Z from below"
            return Side(-math.inf, Grounds.NONE, delta, reason=reason, look=look)
        return Side(outward(low + shift, error, -1.0), Grounds.STATISTICAL, delta, repr(self), look=look)

    def _value(self, logs: np.ndarray, shift: float) -> float | None:
        value = log_mean(logs) + shift
        return value if math.isfinite(value) else None

    def _stats(self, ascent: Ascent, logs: np.ndarray, shift: float) -> dict[str, Any]:
        """The ELBO and its error, the effective share of the draws, and the error of log Z."""
        alive, network = logs[np.isfinite(logs)], ascent.network
        told = {"steps": ascent.steps, "samples": len(logs), "dead": 1.0 - len(alive) / len(logs)}
        told |= {"variables": network.size, "features": int(network.fan_in.max()), "ibound": self.ibound}
        told["parameters"] = sum(int(np.size(w)) for w in ascent.weights.values())
        if not len(alive):
            return told | {"elbo": -math.inf, "ess": 0.0, "reliable": False}
        weights = np.exp(alive - alive.max())
        share = float(weights.sum() ** 2 / (weights @ weights)) / len(logs)
        told |= {"elbo": shift + float(alive.mean()) if len(alive) == len(logs) else -math.inf}
        told |= {"elbo_error": float(alive.std()) / math.sqrt(len(alive)), "variance": float(alive.var())}
        told |= {"elbo_alive": shift + float(alive.mean()) + math.log(len(alive) / len(logs))}
        return told | {
            "ess": share,
            "standard_error": math.sqrt(max(1.0 / share - 1.0, 0.0) / len(logs)),
            "reliable": share * len(logs) >= 100.0,
        }

    def _about(self, reduced: Reduced, key: Any) -> dict[str, str]:
        """What must be the same for a run to go on."""
        if self.checkpoint is None:
            return {}
        fit = (self.ibound, self.hidden, self.draws, self.natural, self.rate, self.annealing, self.sweeps, self.orders)
        seed = np.asarray(jax.random.key_data(key)).tolist()
        return {"method": f"Autoregressive {fit}", "seed": str(seed), "model": file.fingerprint(reduced.model)}

    def _load(self, ascent: Ascent, about: dict[str, str]) -> None:
        if self.checkpoint is not None and Path(self.checkpoint).exists():
            with jax.enable_x64(True):
                ascent.restore(file.read(self.checkpoint, about))

    def _save(self, ascent: Ascent, about: dict[str, str]) -> None:
        if self.checkpoint is not None:
            file.write(self.checkpoint, about, ascent.arrays())
