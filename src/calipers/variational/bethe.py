"""Belief propagation and the Bethe free energy: an estimate of log Z, exact on forests.

    log Z_Bethe = Σ_a [⟨θ_a⟩ + H(b_a)] − Σ_v (d_v − 1) H(b_v)      at beliefs b that agree where they meet

**Proves** nothing in general; on a forest it is log Z itself, after one pass up and one down (sides exact, with a
rounding error). **Cost** a sweep touches every table entry twice a port; magnets of 10⁵ bonds and more run in JAX, at
3–4 ns a message. **Fails** by not converging on frustrated, strongly coupled graphs: then the result says so, and the
value is where the messages stood. **Source** Bethe 1935; Pearl 1988; Yedidia, Freeman & Weiss 2005, eq. (37).
"""

import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.core.answer import Answer, Belief, Grounds, Result, exact_sides
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.kernels import ULP
from calipers.models.ising import Ising
from calipers.models.reduction import Reduced, as_reduced
from calipers.variational.factor_arrays import flatten
from calipers.variational.factor_propagation import BIAS, Messages, breadth_first

_LARGE = 100_000  # bonds from which JAX's compilation is worth its while
_FIRST_LOOK = 0.5  # seconds until a run that has not converged shows its value; the wait doubles each time


class Bethe(AbstractMethod):
    """Belief propagation.

    **Arguments:** `damping`, share of the old message that is kept (not used on forests); `tolerance`, largest change
    of a normalised message in the last sweep; `max_sweeps`.

    **Proves** nothing; on a forest, both sides exactly.
    """

    proves: ClassVar[Proves] = Proves.NOTHING
    damping: float = 0.3
    tolerance: float = 1e-9
    max_sweeps: int = 1000

    def __check_init__(self) -> None:
        if not 0 <= self.damping < 1:
            raise ValueError(f"damping is {self.damping}; it is the share of the old message, from 0 to below 1")
        if not self.tolerance >= 0 or self.max_sweeps < 1:
            raise ValueError(f"tolerance is {self.tolerance}, max_sweeps {self.max_sweeps}; give ≥ 0 and ≥ 1")

    def plan(self, model: AbstractDiscreteModel | Reduced, limits: Limits = Limits()) -> Plan:
        """Large magnets go to JAX as they are; everything else is reduced and laid out flat."""
        if isinstance(model, Ising) and model.e >= _LARGE:
            from calipers.variational.ising_messages import fits

            if fits(model.edges, model.beta * model.couplings, model.beta * model.fields):
                size = 300.0 * model.e
                _check_memory(size, limits)
                text = f"Belief propagation on a magnet of {model.n} spins and {model.e} bonds, all messages at once."
                return Plan(text, model, cells=2.0 * model.e, bytes=size, limits=limits)
        reduced = as_reduced(model)
        cells = float(sum(t.size * t.ndim for t in reduced.model.tables))
        _check_memory(32.0 * cells, limits)
        flat = flatten(reduced.model)
        order, forest = breadth_first(flat)
        what = "a forest, so log Z is exact" if forest else "with loops, so the value is an estimate"
        text = f"Belief propagation on {reduced.describe()}; {what}."
        return Plan(text, (reduced, flat, order, forest), cells=cells, bytes=32.0 * cells, limits=limits)

    def answers(self, model: Any, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """The value now and then while it iterates, and at the end."""
        if isinstance(plan.structure, Ising):
            yield from self._magnet(plan.structure, plan)
            return
        reduced, flat, order, forest = plan.structure
        if reduced.log_constant == -math.inf:
            yield Answer(*exact_sides(-math.inf, 0.0, repr(self)), value=-math.inf, result=Result.EXACT, plan=plan)
            return
        run = Messages(flat, 0.0 if forest else BIAS)
        if forest:
            for way in (order[::-1], order):
                run.sweep(way, 0.0)
            yield self._exact(reduced, run, plan)
            return
        wait, last = _FIRST_LOOK, time.monotonic()
        for sweeps in range(1, self.max_sweeps + 1):
            change = run.sweep(order[::-1] if sweeps % 2 else order, self.damping)
            if change <= self.tolerance or change == math.inf:
                break
            if time.monotonic() - last > wait:
                yield self._estimate(reduced, run, sweeps, change, plan, Result.RUNNING)
                wait, last = 2.0 * wait, time.monotonic()
        ended = Result.RUNNING if change <= self.tolerance else Result.UNCONVERGED
        yield self._estimate(reduced, run, sweeps, change, plan, ended)

    def _exact(self, reduced: Reduced, run: Messages, plan: Plan) -> Answer:
        value, size = run.evaluate()
        total = value + reduced.log_constant
        error = ULP * (8.0 * size + 2.0 * abs(total)) + reduced.error
        lower, upper = exact_sides(total, error, repr(self))
        belief = run.belief(reduced, Grounds.EXACT) if plan.limits.beliefs else None
        stats = {"sweeps": 2, "converged": True}
        return Answer(lower, upper, value=total, belief=belief, result=Result.EXACT, stats=stats, plan=plan)

    def _estimate(
        self, reduced: Reduced, run: Messages, sweeps: int, change: float, plan: Plan, result: Result
    ) -> Answer:
        value, _ = run.evaluate()
        stats = {"sweeps": sweeps, "change": change, "converged": change <= self.tolerance}
        belief = run.belief(reduced, Grounds.NONE) if plan.limits.beliefs else None
        total = value + reduced.log_constant if math.isfinite(value) else None
        return Answer(value=total, belief=belief, result=result, stats=stats, plan=plan)

    def _magnet(self, model: Ising, plan: Plan) -> Iterator[Answer]:
        """The JAX engine, ten sweeps a step."""
        import jax
        import jax.numpy as jnp

        from calipers.variational import ising_messages as engine

        slots = engine.slots(model.edges, model.beta * model.couplings, model.beta * model.fields)
        with jax.enable_x64(True):
            fixed = [jnp.asarray(slots.back), *(jnp.exp(2.0 * jnp.asarray(x)) for x in (slots.coupling, slots.field))]
            U = jnp.asarray(engine.start(slots, BIAS))
            wait, last = _FIRST_LOOK, time.monotonic()
            for step in range(1, math.ceil(self.max_sweeps / engine.CHUNK) + 1):
                U, move = engine.sweeps(U, *fixed, self.damping)
                change = float(move)
                done = change <= self.tolerance
                if done or time.monotonic() - last > wait:
                    yield self._read(slots, np.asarray(U), step * engine.CHUNK, change, plan, model, Result.RUNNING)
                    wait, last = 2.0 * wait, time.monotonic()
                if done:
                    return
        yield self._read(slots, np.asarray(U), step * engine.CHUNK, change, plan, model, Result.UNCONVERGED)

    def _read(
        self, slots: Any, U: np.ndarray, sweeps: int, change: float, plan: Plan, model: Ising, result: Result
    ) -> Answer:
        from calipers.variational.ising_messages import read_out

        value, eta = read_out(slots, U)
        up, down = (np.exp(-np.logaddexp(0.0, sign * eta)) for sign in (-2.0, 2.0))
        belief = Belief(tuple(np.stack([up, down], axis=1))) if plan.limits.beliefs else None
        stats = {"sweeps": sweeps, "change": change, "converged": change <= self.tolerance}
        return Answer(value=value - model.beta * model.offset, belief=belief, result=result, stats=stats, plan=plan)


def _check_memory(size: float, limits: Limits) -> None:
    if size > limits.memory:
        raise Refusal(f"belief propagation needs {size / 1e9:.3g} GB; {limits.memory / 1e9:.3g} GB are allowed")
