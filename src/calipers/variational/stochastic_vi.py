"""Stochastic variational inference on rows that need not fit the memory.

    ∇_θ L ≈ (1/S) Σ_s (∂u_s/∂θ)ᵀ ∇_u [log p̃_B(u_s) − log q(u_s)],      p̃_B from one minibatch, unbiased

Minibatch log weights are unbiased (`streamed_target.py`) and enter linearly, so gradients of the ELBO are unbiased
too. Of objectives that are not linear in log p̃ (IWAE, Rényi, CUBO: logs of means of powers of weights), a minibatch
gives no bound: E log mean exp(noisy log weight) exceeds log mean exp by Jensen, by up to half the noise's variance,
which grows with N: lower bounds rise above log Z (docs/massive.md). They are refused. The fit is judged by fresh
draws, each of whose log weights is summed over *all* rows in one pass: so the ELBO ± its error, k̂, and the
importance-sampled log Z are those of the full data. **Proves** nothing. **Cost** 2 to 5 passes, steps × batch × (draws
+ 1) gradients, and a pass with `evaluation` log weights a row. **Fails** where a Gaussian does: k̂ says so. **Source**
Hoffman, Blei, Wang & Paisley, *Stochastic variational inference* (2013); Kucukelbir et al. (2017); Roeder, Wu &
Duvenaud (2017).
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import numpy as np

from calipers.core.answer import Answer, Result
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.models.streamed import StreamedPosterior
from calipers.variational.assessment import summarise
from calipers.variational.report import answer
from calipers.variational.streamed_run import StreamedRun
from calipers.variational.target import Target
from calipers.variational.verdict import judge

_EVERY = 1.0  # seconds between two reports
_SPARE = 1.3  # times the seconds that the last pass should take


class StochasticVI(AbstractMethod):
    """A Gaussian by minibatches of the rows of a `StreamedPosterior`.

    **Arguments:** `rank`, "full", "diagonal", or a number of directions beside the diagonal; `batch`, rows a step;
    `draws` a step; `evaluation`, fresh draws of the fit, each summed over all rows; `tolerance`, of the stopping rule
    (`settling.py`), in deviations; `steps` at most; `piece` and `window`, rows read together and pieces shuffled
    together; `devices`, how many of JAX's share the rows of each batch, 0 for all; `checkpoint`, a file to write every
    `checkpoint_seconds`, and to go on from if it exists. Several processes (`jax.distributed.initialize`) run the same
    program, each on its own share of the rows, and end with the same answer.

    **Proves** nothing. It needs no key; one given is the seed. Partial answers tell `rows_per_second`, `epochs` and
    `seconds_left_at_most`.
    """

    proves: ClassVar[Proves] = Proves.NOTHING
    rank: str | int = "full"
    batch: int = 4096
    draws: int = 8
    evaluation: int = 512
    tolerance: float = 0.02
    steps: int = 20000
    piece: int = 65536
    window: int = 8
    devices: int = 0
    checkpoint: str | None = None
    checkpoint_seconds: float = 60.0

    def __check_init__(self) -> None:
        if not (self.rank in ("full", "diagonal") or (isinstance(self.rank, int) and self.rank >= 0)):
            raise ValueError(f'rank is {self.rank!r}; "full", "diagonal" or a number of directions is needed')
        for name in ("batch", "draws", "evaluation", "steps", "piece", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.devices < 0:
            raise ValueError(f"devices is {self.devices}; it must be 0, for all, or more")
        if not self.tolerance > 0.0:
            raise ValueError(f"tolerance is {self.tolerance}; it must be positive")

    def spelled(self) -> str:
        """The hyper-parameters that the steps depend on."""
        return repr(dataclasses.replace(self, devices=0, checkpoint=None, checkpoint_seconds=60.0))

    def plan(self, model: StreamedPosterior, limits: Limits = Limits()) -> Plan:
        """Says how many rows there are, and what they take; refuses models without rows, and too little memory."""
        if not isinstance(model, StreamedPosterior):
            raise Refusal(f"this method takes a StreamedPosterior, not a {type(model).__name__}")
        first = jax.tree.leaves(model.rows.read(0, 1))
        row = sum(np.asarray(leaf).nbytes for leaf in first)
        held = min(2 * self.window * self.piece, 2 * model.rows.count)
        size = float(row * held + 8 * 4 * min(self.batch, model.rows.count) * self.evaluation)
        if size > limits.memory:
            raise Refusal(f"a shuffle of {held} rows needs {size / 1e9:.3g} GB; lower piece, window or evaluation")
        text = f"Minibatches of {self.batch} of {model.rows.count} rows ({row} bytes each), {model.dimension} reals."
        return Plan(text, bytes=size, limits=limits)

    def answers(self, model: StreamedPosterior, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Progress every second; last the fit, assessed by draws whose log weights are sums over all rows."""
        seed = [0] if key is None else np.asarray(jax.random.key_data(key)).ravel().tolist()
        yield Answer(stats={"rows": model.rows.count})
        run = StreamedRun(model, self, seed)
        run.save()
        yield from self._climb(run, plan.limits)
        run.save()
        u, logs = run.q.draw(np.random.default_rng([*seed, 3]), self.evaluation)
        found = summarise(run.q, u, run.target.log_weights(u) - logs)
        plain = Target(model.posterior)
        plain.evaluations, plain.not_numbers = self.evaluation + run.target.passes - 1, run.target.not_numbers
        told = {"elbo": found.elbo, "elbo_error": found.elbo_error, "iterations": run.ascent.total}
        told |= {"settled": run.ascent.settled, "epochs": run.rows_seen / model.rows.count}
        last = answer(plain, found, judge(found), told | {"passes": run.target.passes})
        if not run.ascent.settled and last.result is Result.EXHAUSTED:
            last = dataclasses.replace(last, result=Result.UNCONVERGED, value=None)
        yield last

    def _climb(self, run: StreamedRun, limits: Limits) -> Iterator[Answer]:
        """Steps until they settle, or the time is needed for the last pass."""
        rows, _ = run.shuffle.take(run.place)
        reserve = _SPARE * run.target.pass_seconds(np.tile(run.start.mean, (self.evaluation, 1)), rows)
        began = saved = told = time.monotonic()
        before, total = run.rows_seen, run.shuffle.rows.count
        agree = run.target.spread.agree
        while not run.ascent.over and agree(limits.seconds_left() > reserve, run.ascent.total):
            run.advance()
            now = time.monotonic()
            if now - saved > self.checkpoint_seconds:
                run.save()
                saved = now
            if now - told > _EVERY:
                speed = (run.rows_seen - before) / (now - began)
                left = (self.steps - run.ascent.total) * run.shuffle.batch / speed + reserve
                stats = {"epochs": run.rows_seen / total, "rows_per_second": speed, "seconds_left_at_most": left}
                yield Answer(stats=stats | {"iterations": run.ascent.total})
                told = now
        if (seconds := time.monotonic() - began) > 0.0 and run.rows_seen > before:
            yield Answer(stats={"rows_per_second": (run.rows_seen - before) / seconds})
