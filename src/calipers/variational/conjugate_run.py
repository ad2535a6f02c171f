"""A run of natural-gradient inference: rounds of a pass, which bounds, and minibatch steps, which move.

    round   pass at m₀ = ∇A(λ): bound and T₀;  λ ← λ₀ + T₀, a coordinate step: it cannot lower the ELBO
            N/B steps  λ ← (1 − ρ) λ + ρ (λ₀ + T₀ + N/B [T_B(m) − T_B(m₀)]),      then the mean of the last half of them

The pass controls the rate ρ, first 8 B/N: it doubles with every round until one did not raise the bound. That round,
and any later one like it, is undone, down to the coordinate step, the next pass comes at once, and ρ is halved. So at
least every second pass raises the bound, whatever the noise. With all rows in a batch, ρ is 1 and this is coordinate
ascent. It ends when a round gains less than `tolerance` nats. Every step is a function of the seed and its number: a
run that goes on from its file takes the same steps, bit for bit. **Source** Hoffman et al. (2013); Johnson & Zhang
(2013), here for natural gradients.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from calipers.core.method import Refusal
from calipers.io.shuffle import Place, Shuffle
from calipers.models.conjugate_model import ConjugateModel
from calipers.sampling import checkpoint as file
from calipers.variational.conjugate_target import ConjugateTarget, Pass

_PILOT = 16384  # rows at most
_PILOT_STEPS = 100
_REACH = 8.0  # ρ times the steps of a round
_PILOT_STREAM = 1


class ConjugateRun:
    """**Arguments:** `model`; `method`, a `ConjugateVI`; `seed`, integers. `best` is the best pass so far."""

    def __init__(self, model: ConjugateModel, method: Any, seed: Sequence[int]):
        count = model.rows.count
        batch = min(method.batch, count)
        self.method, self.seed, self.path = method, list(seed), method.checkpoint
        self.target = ConjugateTarget(model, batch, method.piece, method.devices)
        self.shuffle = Shuffle(model.rows, batch, piece=method.piece, window=method.window, seed=[*seed, 0])
        self.length = -(-count // batch)  # steps of a round
        self.best, self.gain, self.settled = Pass(self.target.prior, self.target.prior, -np.inf, np.inf), np.inf, False
        self.rate, self.rounds, self.step, self.place = min(1.0, _REACH / self.length), 0, self.length, Place()
        self.mean, self.growing = np.zeros_like(self.target.prior), True
        self.about = {} if self.path is None else self._about(model)
        if self.path is not None and Path(self.path).exists():
            self._restore(file.read(self.path, self.about))
        else:
            self.p = self._begin(model)

    @property
    def over(self) -> bool:
        """Whether the rule has ended it, or the rounds have."""
        return self.settled or self.rounds >= self.method.rounds

    @property
    def due(self) -> bool:
        """Whether the next thing is a pass."""
        return self.step >= self.length

    @property
    def rows_seen(self) -> int:
        """Rows that minibatches have had."""
        return self.place.epoch * self.shuffle.rows.count + self.place.slot

    def look(self) -> Pass:
        """The pass of a round: it keeps the better bound, takes the coordinate step, and sets the rate."""
        found = self.target.whole(self.target.log_normaliser(self.p)[1])
        self.rounds, self.step = self.rounds + 1, 0
        gain = found.bound - self.best.bound
        if gain > -found.error:  # less is no loss, but rounding
            self.gain, self.settled = max(gain, 0.0), gain < self.method.tolerance
            self.best = found if gain > 0.0 else self.best
            self.rate = min(1.0, 2.0 * self.rate) if self.growing and self.rounds > 1 else self.rate
        else:
            self.rate, self.step, self.growing = 0.5 * self.rate, self.length, False
        self.p = self.target.prior + self.best.statistics
        self.mean = np.zeros_like(self.p)
        return found

    def advance(self) -> None:
        """One minibatch step."""
        rows, self.place = self.shuffle.take(self.place)
        scale = self.shuffle.rows.count / self.shuffle.batch
        now = self.target.local(self.target.log_normaliser(self.p)[1], rows)[1]
        then = self.target.local(self.best.m, rows)[1]
        aim = self.target.prior + self.best.statistics + scale * (now - then)
        p = (1.0 - self.rate) * self.p + self.rate * aim
        if np.isfinite(self.target.log_normaliser(p)[0]):  # a noisy step may leave the domain: it is not taken
            self.p = p
        self.step += 1
        half = self.length // 2
        if self.step > half:
            self.mean = self.mean + self.p / (self.length - half)
        if self.step == self.length:
            self.p = self.mean  # domains are convex

    def save(self) -> None:
        """Writes the checkpoint, if there is to be one; of several processes, the first does."""
        if self.path is None or self.target.spread.process:
            return
        numbers = np.array(
            [self.gain, self.settled, self.rate, self.growing, self.rounds, self.step, *self.place], np.float64
        )
        best = {"m": self.best.m, "statistics": self.best.statistics, "bound": np.array(self.best[2:])}
        file.write(self.path, self.about, {"p": self.p, "mean": self.mean, "numbers": numbers, **best})

    def _restore(self, held: dict[str, np.ndarray]) -> None:
        self.p, self.mean = held["p"], held["mean"]
        gain, settled, rate, growing, *whole = held["numbers"].tolist()
        self.gain, self.settled, self.rate, self.growing = gain, bool(settled), rate, bool(growing)
        self.rounds, self.step, epoch, slot = map(int, whole)
        self.place, self.best = Place(epoch, slot), Pass(held["m"], held["statistics"], *held["bound"].tolist())

    def _begin(self, model: ConjugateModel) -> np.ndarray:
        """The best of several starts after coordinate ascent on a pilot, a few rows standing for all."""
        if model.begin is None:
            return self.target.prior
        source, random = self.shuffle, np.random.default_rng([*self.seed, _PILOT_STREAM])
        size = min(_PILOT, source.rows.count)
        pilot = Shuffle(source.rows, size, piece=source.piece, window=source.window, seed=[*self.seed, _PILOT_STREAM])
        rows, share = pilot.take(Place())[0], source.rows.count / size
        best = Pass(self.target.prior, self.target.prior, -np.inf, np.inf)
        for _ in range(self.method.starts):
            found = self._climb(self.target.flat(model.begin(rows, share, random)), rows, share)
            best = found if found.bound > best.bound else best
        if not np.isfinite(best.bound):
            raise Refusal("no start had a finite bound; check the model's functions and its rows")
        return self.target.prior + best.statistics

    def _climb(self, p: np.ndarray, rows: Any, share: float) -> Pass:
        best = Pass(p, p, -np.inf, np.inf)
        for _ in range(_PILOT_STEPS):
            m = self.target.log_normaliser(p)[1]
            value, statistics, size = self.target.local(m, rows)
            found = self.target.bound(m, (share * value, share * statistics, share * size))
            gain, best = found.bound - best.bound, max(best, found, key=lambda x: x.bound)
            if not gain > max(self.method.tolerance, 1e-7 * abs(found.bound)):
                break
            p = self.target.prior + statistics * share
        return best

    def _about(self, model: ConjugateModel) -> dict[str, str]:
        """What must be the same for a run to go on: method, seed, and a few numbers of the model and its rows."""
        few, count, m = min(model.rows.count, 64), model.rows.count, self.target.log_normaliser(self.target.prior)[1]
        ends = [model.rows.read(begin, begin + few) for begin in (0, count - few)]
        with jax.enable_x64(True):
            told = [float(model.log_local(self.target.tree(m), rows).sum()).hex() for rows in ends]
        size = f"{len(m)} natural parameters, {count} rows, log-normaliser {self.target.origin.hex()}"
        return {"method": self.method.spelled(), "seed": str(self.seed), "model": f"{size}, first and last {told}"}
