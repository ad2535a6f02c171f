"""A run of stochastic variational inference: where it begins, its steps, and the file it goes on from.

It begins at the mode of a pilot (a few rows standing for all), moved by Newton steps on the gradient of all rows with
the pilot's curvature, one pass each. Every step draws its normals and its rows as a function of the seed and its
number, so the state is the ascent, the place in the stream, the start and the anchor: a run that goes on from its file
takes the same steps, bit for bit. The anchor moves, for one pass, when a step size ends with the mean a deviation away
from it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from calipers.core.method import Refusal
from calipers.io.shuffle import Place, Shuffle
from calipers.models.streamed import StreamedPosterior
from calipers.sampling import checkpoint as file
from calipers.variational.approximation import Elliptical
from calipers.variational.gaussian_families import family
from calipers.variational.modes import find_modes
from calipers.variational.settling import Settling
from calipers.variational.stochastic import stl_gradient
from calipers.variational.streamed_target import Anchor, Scaled, StreamedTarget
from calipers.variational.target import Target

_PILOT = 16384  # rows at most
_STARTS = 4
_NEWTON = 4  # steps at most
_NEAR = 0.5  # deviations from the mode that are near enough
_FAR = 1.0  # deviations from the anchor that are too far
_PILOT_STREAM, _NORMALS = 1, 2  # streams of the seed, beside the rows' own


class StreamedRun:
    """**Arguments:** `model`; `method`, a `StochasticVI`; `seed`, integers."""

    def __init__(self, model: StreamedPosterior, method: Any, seed: Sequence[int]):
        count = model.rows.count
        batch = min(method.batch, count)
        self.target = StreamedTarget(model, batch, method.piece, method.devices)
        self.method, self.seed = method, list(seed)
        self.shuffle = Shuffle(model.rows, batch, piece=method.piece, window=method.window, seed=[*seed, 0])
        self.place, self.path = Place(), method.checkpoint
        self.about = {} if self.path is None else self._about(model)
        held = file.read(self.path, self.about) if self.path is not None and Path(self.path).exists() else None
        if held is None:
            start, self.anchor = self._begin()
        else:
            start = Elliptical(held["mean"], held["factor"])
            self.anchor = Anchor(held["point"], np.float64(held["value"]), held["slope"])
            self.place = Place(*map(int, held["place"]))
        self.start = start
        self.trial = family(method.rank, start)
        self.ascent = Settling(self.trial.first(), tolerance=method.tolerance, most=method.steps)
        if held is not None:
            self.target.seconds = float(held["seconds"])
            self.ascent.restore({k.removeprefix("ascent:"): a for k, a in held.items() if k.startswith("ascent:")})
        self.resumed = self.ascent.total

    def advance(self) -> None:
        """One step."""
        random = np.random.default_rng([*self.seed, _NORMALS, self.ascent.total])
        z = random.standard_normal((self.method.draws, self.trial.noise))
        rows, place = self.shuffle.take(self.place)
        gradient, value = stl_gradient(
            lambda u: self.target.minibatch(u, rows, self.anchor), self.trial, self.ascent.theta, z
        )
        ended = self.ascent.advance(gradient, value)
        self.place = place
        if ended and not self.ascent.over:
            mean = self.trial.result(self.ascent.average).mean
            if self._distance(mean - self.anchor.point) > _FAR:
                self.anchor = self.target.anchored(mean)

    @property
    def q(self) -> Elliptical:
        """The fit: the average of the last step size that ended; before that, where the ascent is."""
        known = np.isfinite(self.ascent.average).all()
        return self.trial.result(self.ascent.average if known else self.ascent.theta)

    @property
    def rows_seen(self) -> int:
        """Rows that minibatches have had, over all of the run."""
        return self.place.epoch * self.shuffle.rows.count + self.place.slot

    def save(self) -> None:
        """Writes the checkpoint, if there is to be one; of several processes, the first does."""
        if self.path is None or self.target.spread.process:
            return
        arrays = {f"ascent:{k}": a for k, a in self.ascent.arrays().items()}
        arrays |= {"mean": self.start.mean, "factor": self.start.factor, "place": np.array(self.place)}
        arrays["seconds"] = np.array(self.target.seconds)
        point, value, slope = self.anchor
        file.write(self.path, self.about, arrays | {"point": point, "value": np.array(value), "slope": slope})

    def _begin(self) -> tuple[Elliptical, Anchor]:
        rows, random = self._pilot(), np.random.default_rng([*self.seed, _PILOT_STREAM])
        posterior, count = self.target.posterior, self.shuffle.rows.count
        share = np.float64(count / len(jax.tree.leaves(rows)[0]))
        few = _scaled(posterior, share, rows)
        modes = find_modes(Target(few), random, starts=_STARTS)
        if not modes:
            raise Refusal("no start had a finite log weight; check the density, its constraints and its rows")
        factor = modes[0].laplace.factor
        anchor, height, slope = self._look(modes[0].point)
        for _ in range(_NEWTON):
            rise = slope @ factor
            if np.abs(rise).max() < _NEAR:
                break
            ahead, higher, steeper = self._look(anchor.point + factor @ rise)
            if not higher > height:
                break
            anchor, height, slope = ahead, higher, steeper
        return Elliptical(anchor.point, factor), anchor

    def _look(self, u: np.ndarray) -> tuple[Anchor, float, np.ndarray]:
        """The anchor at u; the log weight there, and its gradient."""
        anchor = self.target.anchored(u)
        value, slope = self.target.prior_slope(u)
        return anchor, anchor.value + value, anchor.slope + slope

    def _pilot(self) -> Any:
        source = self.shuffle
        size = min(_PILOT, source.rows.count)
        seed = [*self.seed, _PILOT_STREAM]
        return Shuffle(source.rows, size, piece=source.piece, window=source.window, seed=seed).take(Place())[0]

    def _distance(self, step: np.ndarray) -> float:
        inverse = self.start.inverse
        return float(np.abs(inverse * step if inverse.ndim == 1 else inverse @ step).max())

    def _about(self, model: StreamedPosterior) -> dict[str, str]:
        """What must be the same for a run to go on: method, seed, and a few numbers of the model and its rows."""
        u, few = np.full(model.dimension, 0.1), min(model.rows.count, 64)
        told = []
        with jax.enable_x64(True):
            for begin in (0, model.rows.count - few):
                told.append(float(model.subset(begin, begin + few).flat_log_weight(u)).hex())
        return {
            "method": self.method.spelled(),
            "seed": str(self.seed),
            "model": f"{model.dimension} reals, {model.rows.count} rows, log weights of the first and last {told}",
        }


def _scaled(posterior: Any, share: np.float64, rows: Any) -> Any:
    return type(posterior)(
        posterior.log_prior,
        Scaled(posterior.log_likelihood, share),
        rows,
        example=posterior.space.treedef.unflatten([np.zeros(shape) for shape in posterior.space.shapes]),
        constraints=posterior.space.treedef.unflatten(posterior.space.bijectors),
        prior_sample=posterior.prior_sample,
    )
