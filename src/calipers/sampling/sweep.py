"""Temperature and field sweeps: one model at many points, by a Markov kernel or by any method that has beliefs.

    found = cal.sweep(magnet, T=np.linspace(2, 3, 11), kernel=cal.SwendsenWang(), sweeps=5000, seed=0)
    found.column("heat_capacity"), found.reweight(T=np.linspace(2, 3, 201)).to_csv("c.csv")

Points are independent: each has its own seed, burn-in and, in the folder `checkpoint`, its own file, from which a sweep
that was cut short, even by a crash, goes on bit for bit. **Proves** nothing by a kernel; by a method what that proves.
**Cost** points · chains · sweeps. **Fails** where single chains fail: `reliable` says so, point by point.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calipers.core.iterate import log_z
from calipers.core.method import AbstractMethod
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.belief_averages import belief_averages
from calipers.models.tempered import in_field, tempered
from calipers.sampling.chain import Progress, run_chain
from calipers.sampling.estimates import Estimate, Function
from calipers.sampling.kernel import AbstractKernel
from calipers.sampling.kernel_choice import suitable_kernel
from calipers.sampling.measure import inverse_temperature
from calipers.sampling.observables import Observable, usual_measures
from calipers.sampling.politely import stopping_politely
from calipers.sampling.streams import source
from calipers.sampling.sweep_result import Point, Sweep, chosen_betas

Values = float | Sequence[float] | np.ndarray | None


class SweepProgress(NamedTuple):
    """Where a sweep is: points done and wanted, the chain at work, seconds of this call."""

    point: int
    points: int
    chain: Progress
    seconds: float
    begun: int = 0  # points that a checkpoint already had

    @property
    def seconds_left(self) -> float:
        """Seconds to go if every point takes as long as those so far; infinite before the first step."""
        part = self.point - self.begun + (self.chain.done - self.chain.begun) / max(self.chain.total, 1)
        return self.seconds * (self.points - self.begun - part) / part if part > 0 else float("inf")

    def __str__(self) -> str:
        return f"point {self.point + 1} of {self.points}, {self.seconds:.0f} s, {self.seconds_left:.0f} s left"


def sweep(
    model: AbstractDiscreteModel,
    *,
    T: Values = None,
    beta: Values = None,
    h: Values = None,
    kernel: AbstractKernel | None = None,
    method: AbstractMethod | None = None,
    key: Any = None,
    seed: int | None = None,
    sweeps: int = 2000,
    observables: Mapping[str, Observable] | None = None,
    functions: Mapping[str, Function] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[SweepProgress], Any] | None = None,
    time_limit: float = float("inf"),
    **options: Any,
) -> Sweep:
    """Observables of a model over a grid of temperatures and fields.

    **Arguments:** `model`; `T` or `beta`, numbers that multiply the model's own; `h`, added to a magnet's fields;
    `kernel` of the Markov chains, None for what suits the model, or `method`, as `Elimination()`, instead; `key` or
    `seed`, and `sweeps` of each chain; `observables`, `functions` and further `options` as in `run_chain`: on periodic
    lattices the structure factor at the smallest k and the correlation length are added; `checkpoint`, a folder;
    `progress`, called after each step; `time_limit`, seconds for the whole. For a method, `options` as in `log_z`,
    `time_limit` for each point.

    **Returns:** `Sweep`, also after Ctrl-C or at the time limit, with the points until then.

    **Raises:** `Refusal` when kernel or method will not take the model; `ValueError` for what are no temperatures, and
    for fields of a model that is no magnet.
    """
    betas, fields = chosen_betas(T, beta), np.atleast_1d(0.0 if h is None else h).astype(float).tolist()  # type: ignore[arg-type]
    grid = [(b, f) for f in fields for b in betas]
    if method is not None:
        if kernel is not None:
            raise ValueError("give a kernel or a method, not both")
        limits = options | {"time_limit": time_limit if np.isfinite(time_limit) else 60.0, "key": key}
        points = tuple(_by_method(in_field(model, f), b, f, method, limits) for b, f in grid)
        return Sweep(points, model.n, inverse_temperature(model), repr(method))
    usual = usual_measures(model)
    functions = {**usual.functions, **(functions or {})}
    options |= {"observables": {**usual.observables, **(observables or {})}, "functions": functions, "sweeps": sweeps}
    chosen = suitable_kernel(in_field(model, fields[0])) if kernel is None else kernel
    seeds = source(key, seed).integers(2**62, size=len(grid)).tolist()
    job = _Job(model, grid, seeds, chosen, options, None if checkpoint is None else Path(checkpoint))
    found, interrupted = job.run(progress, time_limit)
    return Sweep(tuple(found), model.n, inverse_temperature(model), repr(chosen), interrupted, functions)


class _Job(NamedTuple):
    """A grid of points and what is to be run at each."""

    model: AbstractDiscreteModel
    grid: list[tuple[float, float]]
    seeds: list[int]
    kernel: AbstractKernel
    options: dict[str, Any]
    folder: Path | None

    def run(self, progress: Callable[[SweepProgress], Any] | None, seconds: float) -> tuple[list[Point], bool]:
        """The points, as far as they went, and whether that was not all."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        found, clock = list[Point](), _Clock(len(self.grid), time.monotonic(), progress)
        with stopping_politely() as asked:
            for i, (b, f) in enumerate(self.grid):
                left = seconds - clock.seconds()
                if asked.stop or (left <= 0 and found):
                    return found, True
                place = None if self.folder is None else self.folder / f"point-{i:04d}.npz"
                run = run_chain(
                    tempered(in_field(self.model, f), b), self.kernel, seed=self.seeds[i], checkpoint=place,
                    time_limit=left, progress=clock.tick, **self.options,
                )  # fmt: skip
                clock.next()
                found.append(Point(b, f, run.estimates, run, run.reliable))
                if run.interrupted:
                    return found, True
        return found, False


class _Clock:
    """Tells the progress of a sweep, step by step; points that a checkpoint had finished take no step."""

    def __init__(self, points: int, begun: float, tell: Callable[[SweepProgress], Any] | None) -> None:
        self.points, self.begun, self.tell = points, begun, tell
        self.point = self.skipped = 0
        self.stepped = False

    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.begun

    def tick(self, at: Progress) -> None:
        """A step of the chain at work."""
        self.stepped = True
        if self.tell is not None:
            self.tell(SweepProgress(self.point, self.points, at, self.seconds(), self.skipped))

    def next(self) -> None:
        """The chain at work is done."""
        self.skipped += not self.stepped
        self.point, self.stepped = self.point + 1, False


def _by_method(
    model: AbstractDiscreteModel, beta: float, h: float, method: AbstractMethod, limits: Mapping[str, Any]
) -> Point:
    """What a method says at one point: log Z with its sides, and averages over its beliefs."""
    answer = log_z(tempered(model, beta), method, beliefs=True, **limits)
    sure = 0.0 if answer.exact else float("nan")
    found = {"lower": Estimate(answer.lower.value, 0.0), "upper": Estimate(answer.upper.value, 0.0)}
    if answer.value is not None:
        found["log_z"] = Estimate(answer.value, answer.stats.get("standard_error", sure))
    if answer.belief is not None:
        base = model.factor_graph()
        found |= {k: Estimate(x, sure) for k, x in belief_averages(base, beta, answer).items()}
    return Point(beta, h, found)
