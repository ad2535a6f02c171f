"""Stochastic variational inference with natural gradients and conjugate local steps, and its exact bound.

    log Z ≥ A(λ₀ + T) − A(λ₀) + Λ(m) − ⟨m, T⟩,      Λ = Σ over all rows of log Σ_z h exp⟨m, t(row, z)⟩,   T = ∇Λ

**Proves** a lower side: the ELBO of q(θ) Π q(z_i), whose q(z_i) are in closed form, summed over all rows without draws,
widened by a rounding estimate (Theorems M1 and M3 of docs/theorems.md); A and ℓ are taken at their word. It holds at
every round, and for whatever m the minibatches led to. Without latent variables of rows it is log Z itself. **Cost**
rounds of one pass, and as many rows again in minibatches, twice. **Fails** by being loose, by the dependence between θ
and z that q leaves out, and by what relabelling gives: k! equal modes, of which q covers one (up to log k! nats); in a
poor local optimum. **Source** Hoffman, Blei, Wang & Paisley, *Stochastic variational inference* (2013).
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import numpy as np

from calipers.core.answer import Answer, Grounds, Result, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.record import record
from calipers.models.conjugate_model import ConjugateModel
from calipers.variational.conjugate_run import ConjugateRun

_EVERY = 1.0  # seconds between two reports


@record
class ConjugateBelief:
    """q(θ): its natural parameters λ = λ₀ + T and expected statistics ∇A(λ), trees like the model's prior."""

    natural: Any
    moments: Any


class ConjugateVI(AbstractMethod):
    """Natural-gradient steps by minibatches, on a `ConjugateModel`, each round bounded from below by all rows.

    **Arguments:** `batch`, rows a step; `starts`, tried on a pilot of 16384 rows at most; `tolerance`, nats that a
    round must gain for another (`conjugate_run.py`); `rounds` at most; `piece` and `window`, rows read together and
    pieces shuffled together; `devices`, of JAX's, that share the rows of a batch, 0 for all; `checkpoint`, a file to
    write every `checkpoint_seconds`, and to go on from if it exists.

    **Proves** a lower side, `computed`. It needs no key; one given is the seed. Progress tells `rows_per_second`,
    `epochs`, `rounds` and `seconds_left_at_most`.
    """

    proves: ClassVar[Proves] = Proves.LOWER
    batch: int = 4096
    starts: int = 5
    tolerance: float = 0.01
    rounds: int = 100
    piece: int = 65536
    window: int = 8
    devices: int = 0
    checkpoint: str | None = None
    checkpoint_seconds: float = 60.0

    def __check_init__(self) -> None:
        for name in ("batch", "starts", "rounds", "piece", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if not self.tolerance > 0.0 or self.devices < 0:
            raise ValueError(
                f"tolerance {self.tolerance} must be positive, and devices {self.devices} 0, for all, or more"
            )

    def spelled(self) -> str:
        """The hyper-parameters that the steps depend on."""
        return repr(dataclasses.replace(self, devices=0, checkpoint=None, checkpoint_seconds=60.0))

    def plan(self, model: ConjugateModel, limits: Limits = Limits()) -> Plan:
        """Says how many rows there are, and what they take; refuses other models, and too little memory."""
        if not isinstance(model, ConjugateModel):
            raise Refusal(f"this method takes a ConjugateModel, not a {type(model).__name__}")
        row = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(model.rows.read(0, 1)))
        size = float(row * min(2 * self.window * self.piece + self.piece, 3 * model.rows.count))
        if size > limits.memory:
            raise Refusal(f"a shuffle of these rows needs {size / 1e9:.3g} GB; lower piece or window")
        text = f"Natural gradients from minibatches of {self.batch} of {model.rows.count} rows ({row} bytes each)."
        return Plan(text, bytes=size, limits=limits)

    def answers(self, model: ConjugateModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """A bound after every pass, progress every second between them."""
        seed = [0] if key is None else np.asarray(jax.random.key_data(key)).ravel().tolist()
        yield Answer(stats={"rows": model.rows.count}, plan=plan)
        run = ConjugateRun(model, self, seed)
        run.save()
        saved = told = began = time.monotonic()
        before, passed, steps = run.rows_seen, run.rounds, 0
        if run.rounds:
            yield self._answer(run, plan)
        while not run.over and run.target.spread.agree(plan.limits.seconds_left() > 0.0, steps):
            if run.due:
                run.look()
                yield self._answer(run, plan)
            else:
                run.advance()
            steps, now = steps + 1, time.monotonic()
            if now - saved > self.checkpoint_seconds:
                run.save()
                saved = now
            if now - told > _EVERY:
                rows = run.rows_seen - before + (run.rounds - passed) * model.rows.count
                yield Answer(stats=self._progress(run, rows / (now - began)))
                told = now
        run.save()
        yield self._answer(run, plan, last=True)

    def _progress(self, run: ConjugateRun, speed: float) -> dict[str, Any]:
        left = (2.0 * (self.rounds - run.rounds) + 1.0) * run.shuffle.rows.count / max(speed, 1e-9)
        return {
            "rows_per_second": speed,
            "epochs": run.rows_seen / run.shuffle.rows.count,
            "seconds_left_at_most": left,
        }

    def _answer(self, run: ConjugateRun, plan: Plan, last: bool = False) -> Answer:
        best, target = run.best, run.target
        stats = {"rounds": run.rounds, "elbo": best.bound, "rounding": best.error, "gain": run.gain, "rate": run.rate}
        stats |= {"settled": run.settled, "epochs": run.rows_seen / run.shuffle.rows.count}
        after = target.prior + best.statistics
        belief = ConjugateBelief(target.tree(after), target.tree(target.log_normaliser(after)[1]))
        side = Side(outward(best.bound, best.error, -1.0), Grounds.COMPUTED, method=repr(self))
        result = Result.RUNNING
        if last:
            result = Result.EXHAUSTED if run.settled else Result.UNCONVERGED
        value = best.bound if last and run.settled else None
        return Answer(lower=side, value=value, belief=belief, result=result, stats=stats, plan=plan)
