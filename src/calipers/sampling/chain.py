"""Markov chain Monte Carlo: the verb that runs a kernel, measures, and says what the chain is worth.

    result = cal.run_chain(model, cal.SwendsenWang(), sweeps=10_000, seed=0)
    result.estimates["energy"], result.tau["energy"], result.r_hat["energy"], result.reliable

Observables are stored, configurations only if asked for. Ctrl-C stops a run, and it goes on from its checkpoint bit for
bit. **Proves** nothing: these are estimates, correlated ones, and their error bars hold where the chain has
mixed, which diagnostics can refute but not show.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.sampling import checkpoint as file
from calipers.sampling.chain_result import ChainResult, summarise
from calipers.sampling.estimates import Function
from calipers.sampling.kernel import AbstractKernel, leaves, with_leaves
from calipers.sampling.observables import Observable
from calipers.sampling.politely import stopping_politely


class Progress(NamedTuple):
    """Where a run is: sweeps done and wanted, burn-in included, measurements a chain, seconds of this call.

    `begun` is how many sweeps had been done before it, by the run whose checkpoint it goes on from.
    """

    done: int
    total: int
    measured: int
    seconds: float
    begun: int = 0

    @property
    def seconds_left(self) -> float:
        """Seconds to go at the speed so far; infinite before the first step."""
        steps = self.done - self.begun
        return self.seconds * (self.total - self.done) / steps if steps else float("inf")

    def __str__(self) -> str:
        return f"{self.done} of {self.total} sweeps, {self.seconds:.0f} s, {self.seconds_left:.0f} s left"


class Position(NamedTuple):
    """The kernel's state after `done` sweeps and `measured` measurements: one thing, so that Ctrl-C cannot part it."""

    state: Any
    done: int
    measured: int


class Chain:
    """A run to be stepped through: `for progress in chain: …`, then `chain.result()`. Arguments as `run_chain`."""

    def __init__(
        self, model: AbstractDiscreteModel, kernel: AbstractKernel, *, sweeps: int, measure_every: int = 1,
        burn_in: int | None = None, key: Any = None, seed: int | None = None, chains: int | None = None,
        observables: Mapping[str, Observable] | None = None, functions: Mapping[str, Function] | None = None,
        keep: bool = False, start: np.ndarray | None = None, memory: float = 8e9,
        checkpoint: str | os.PathLike[str] | None = None, checkpoint_seconds: float = 60.0,
    ) -> None:  # fmt: skip
        self.burn_in = sweeps // 5 if burn_in is None else burn_in
        if sweeps < 1 or measure_every < 1 or self.burn_in < 0:
            raise ValueError(f"sweeps {sweeps}, measure_every {measure_every}, burn_in {burn_in}: give ≥ 1, ≥ 1, ≥ 0")
        self.model, self.kernel, self.every, self.keep = model, kernel, measure_every, keep
        self.sweeps, self.observables, self.functions = sweeps, dict(observables or {}), dict(functions or {})
        chosen = {} if chains is None else {"chains": chains}
        state = kernel.init(model, key=key, seed=seed, start=start, **chosen)
        self._meter, self.checkpoint, self.interval = kernel.meter(model), checkpoint, checkpoint_seconds
        first = self._measure(state)
        self.series = {name: np.zeros((len(x), sweeps // measure_every)) for name, x in first.items()}
        self.kept = self._room(len(first["energy"]), memory)
        self.position = Position(state, 0, 0)
        self.about = {} if checkpoint is None else self._about(key, seed, state)
        if checkpoint is not None and Path(checkpoint).exists():
            self._load(checkpoint)

    def __iter__(self) -> Iterator[Progress]:
        begun = saved = time.monotonic()
        before = self.position.done
        total = self.burn_in + self.sweeps // self.every * self.every
        while self.position.done < total:
            self.position = self._advance(self.position)
            if self.checkpoint is not None and time.monotonic() - saved > self.interval:
                self.save()
                saved = time.monotonic()
            yield Progress(self.position.done, total, self.position.measured, time.monotonic() - begun, before)
        self.save()

    def result(self, interrupted: bool = False) -> ChainResult:
        """What has been measured so far."""
        count = self.position.measured
        series = {k: x[:, :count] for k, x in self.series.items()}
        kept = None if self.kept is None else self.kept[:, :count]
        return summarise(
            self.model, self.kernel, series, kept, self.every, self.burn_in, interrupted, functions=self.functions
        )

    def save(self) -> None:
        """Writes the checkpoint, if there is to be one."""
        if self.checkpoint is None:
            return
        state, done, count = self.position
        arrays = {f"leaf:{i}": leaf for i, leaf in enumerate(leaves(state))}
        arrays |= {f"series:{k}": x[:, :count] for k, x in self.series.items()}
        arrays |= {} if self.kept is None else {"kept": self.kept[:, :count]}
        file.write(self.checkpoint, self.about, arrays | {"at": np.array([done, count])})

    def _advance(self, position: Position) -> Position:
        state, done, count = position
        burning = done < self.burn_in
        sweeps = min(self.every, self.burn_in - done) if burning else self.every
        state, _ = self.kernel.step(state, sweeps)
        if not burning:
            for name, values in self._measure(state).items():
                self.series[name][:, count] = values
            if self.kept is not None:
                self.kept[:, count] = self.kernel.states(state)
        return Position(state, done + sweeps, count + (not burning))

    def _measure(self, state: Any) -> dict[str, np.ndarray]:
        energy, magnetization = self._meter(state)
        found = {"energy": energy}
        if not np.isnan(magnetization).any():
            found["magnetization"] = magnetization
        if self.observables:
            states = self.kernel.states(state)
            found |= {k: np.asarray(f(states), np.float64) for k, f in self.observables.items()}
        return found

    def _room(self, chains: int, memory: float) -> np.ndarray | None:
        """Where configurations go, if they are kept."""
        count, most = self.sweeps // self.every, int(np.max(self.model.domains, initial=1))
        kind = np.int8 if most <= 128 else np.int32
        needed = sum(x.nbytes for x in self.series.values())
        needed += chains * count * self.model.n * np.dtype(kind).itemsize if self.keep else 0
        if needed > memory:
            raise Refusal(f"what is to be stored needs {needed / 1e9:.3g} GB; {memory / 1e9:.3g} allowed")
        return np.zeros((chains, count, self.model.n), kind) if self.keep else None

    def _about(self, key: Any, seed: int | None, state: Any) -> dict[str, str]:
        """What must be the same for a run to go on; the number of sweeps may change."""
        from calipers.sampling.streams import source

        names = {"model": file.fingerprint(self.model), "kernel": repr(self.kernel), "every": str(self.every)}
        names |= {"seed": str(source(key, seed).integers(2**62)), "burn-in": str(self.burn_in), "keep": str(self.keep)}
        return names | {"series": ", ".join(self.series), "chains": str(len(self.series["energy"]))}

    def _load(self, path: str | os.PathLike[str]) -> None:
        held = file.read(path, self.about)
        done, count = (int(k) for k in held["at"])
        count = min(count, next(iter(self.series.values())).shape[1])
        for name, x in self.series.items():
            x[:, :count] = held[f"series:{name}"][:, :count]
        if self.kept is not None:
            self.kept[:, :count] = held["kept"][:, :count]
        arrays = [held[f"leaf:{i}"] for i in range(len(leaves(self.position.state)))]
        self.position = Position(with_leaves(self.position.state, arrays), done, count)


def run_chain(
    model: AbstractDiscreteModel,
    kernel: AbstractKernel,
    *,
    sweeps: int,
    progress: Callable[[Progress], Any] | None = None,
    time_limit: float = float("inf"),
    **options: Any,
) -> ChainResult:
    """Runs a Markov chain and summarises it.

    **Arguments:** `model`; `kernel`, as `Metropolis()`; `sweeps` after the burn-in; `measure_every` so many of them;
    `burn_in` sweeps that are not measured (a fifth of `sweeps`); `key` or `seed`, one of them; `chains`, 4 unless the
    kernel says otherwise; `observables`, {name: function of states (chains, n) to (chains,)}; `functions`, {name:
    (function of means, names of series)}: quantities of several means, as a ratio; `keep`, whether configurations are
    stored; `start`, states; `memory`, bytes; `checkpoint`, a file to write every
    `checkpoint_seconds` and to go on from if it exists; `progress`, called after each step; `time_limit`, seconds.

    **Returns:** `ChainResult`, also after Ctrl-C or at the time limit, with what was measured until then. The first
    Ctrl-C is heard after the step at work, a second one at once.

    **Raises:** `Refusal` when the kernel will not take the model; `ValueError` when the checkpoint is of another run.
    """
    begun = time.monotonic()
    chain = Chain(model, kernel, sweeps=sweeps, **options)
    interrupted = False
    try:
        with stopping_politely() as asked:
            for at in chain:
                if progress is not None:
                    progress(at)
                if (asked.stop or time.monotonic() - begun > time_limit) and at.done < at.total:
                    interrupted = True
                    break
    except KeyboardInterrupt:
        interrupted = True
    if interrupted:
        chain.save()
    return chain.result(interrupted)
