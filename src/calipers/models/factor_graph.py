"""Factor graphs: p(x) ∝ Π_a f_a(x_a) over variables with finite domains; zeros are allowed.

A Markov random field, a Bayesian network and an Ising magnet are all factor graphs. Tables are kept as logs, θ = log f,
with −inf for zero. Evidence is kept beside the tables: an observed variable stays in the numbering, and every
configuration that contradicts it has weight zero, so that log Z is then the log of the evidence's probability mass.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import equinox as eqx
import numpy as np
from numpy.typing import ArrayLike

from calipers.core.model import AbstractDiscreteModel

_LARGE = 4096  # entries of a table that is looked at by itself


class _Scopes(tuple[tuple[int, ...], ...]):
    """A tuple of scopes that JAX takes for one thing; it would look for arrays inside any other, one by one."""


class FactorGraph(AbstractDiscreteModel):
    """A product of tables.

    **Arguments:** `sizes`, the number of states of each variable; `scopes[a]`, the distinct variables of factor a (may
    be empty: a constant); `tables[a]`, its logs, float64, shape `sizes[scopes[a]]`, last variable fastest, −inf for a
    zero; `evidence`, pairs (variable, observed state); `beta`, the inverse temperature that multiplies every log
    (zeros stay zero); `text`, the UAI tokens the tables were read from, kept for certificates.

    **Raises:** `ValueError` when shapes, scopes, states or entries are not as said.
    """

    sizes: tuple[int, ...] = eqx.field(static=True, converter=lambda s: tuple(int(k) for k in s))
    scopes: tuple[tuple[int, ...], ...] = eqx.field(static=True, converter=_Scopes)
    tables: tuple[np.ndarray, ...]
    evidence: tuple[tuple[int, int], ...] = eqx.field(static=True, default=())
    beta: float = 1.0
    text: bytes | None = eqx.field(static=True, default=None, repr=False)

    # Equinox makes a tree of `graph.log_tables` each time that it is looked up, of all its tables; nobody jits one
    __getattribute__ = object.__getattribute__

    def __check_init__(self) -> None:
        sizes, n = self.sizes, len(self.sizes)
        if min(sizes, default=1) < 1:
            raise ValueError(f"variable {sizes.index(min(sizes))} has {min(sizes)} states; it needs one or more")
        if len(self.scopes) != len(self.tables):
            raise ValueError(f"{len(self.scopes)} scopes but {len(self.tables)} tables; give one table a scope")
        if not _tables_fit(sizes, self.scopes, self.tables):
            for a, (scope, table) in enumerate(zip(self.scopes, self.tables, strict=True)):
                if scope and (len(set(scope)) != len(scope) or min(scope) < 0 or max(scope) >= n):
                    raise ValueError(f"factor {a} has scope {scope}; variables must be distinct and below {n}")
                shape, came = tuple([sizes[v] for v in scope]), np.shape(table)
                if came != shape:
                    raise ValueError(f"factor {a} has a table of shape {came}; its scope {scope} needs {shape}")
        if not _are_logs(self.tables):
            bad = next(a for a, table in enumerate(self.tables) if not _are_logs([table]))
            raise ValueError(f"factor {bad} holds NaN or +inf; logs are finite, or -inf for a zero")
        for v, state in self.evidence:
            if not 0 <= v < len(self.sizes) or not 0 <= state < self.sizes[v]:
                raise ValueError(f"evidence {v}={state} names a variable or state that is not in the model")
        if not np.isfinite(self.beta) or self.beta < 0:
            raise ValueError(f"beta is {self.beta}; it must be finite and not negative")

    @classmethod
    def from_tables(
        cls,
        sizes: Sequence[int],
        factors: Iterable[tuple[Sequence[int], ArrayLike]],
        *,
        evidence: Mapping[int, int] | None = None,
    ) -> "FactorGraph":
        """Builds from pairs (scope, table of non-negative *weights*), the usual way to write a Markov random field.

        **Raises:** `ValueError` for a negative, infinite or NaN weight.
        """
        pairs = [(tuple(int(v) for v in s), np.asarray(t, np.float64)) for s, t in factors]
        for a, (_, t) in enumerate(pairs):
            if not (np.isfinite(t).all() and (t >= 0).all()):
                raise ValueError(f"factor {a} has a negative or non-finite weight; weights are finite and ≥ 0")
        with np.errstate(divide="ignore"):
            logs = tuple(np.log(t) for _, t in pairs)
        return cls(tuple(sizes), tuple(s for s, _ in pairs), logs, evidence=_pairs(evidence or {}))

    @classmethod
    def of_parts(
        cls, sizes: tuple[int, ...], scopes: tuple[tuple[int, ...], ...], tables: tuple[np.ndarray, ...]
    ) -> "FactorGraph":
        """The same as the constructor, for parts that are known to fit: nothing is converted or looked at."""
        made = object.__new__(cls)
        parts = {"sizes": sizes, "scopes": _Scopes(scopes), "tables": tables, "evidence": (), "beta": 1.0, "text": None}
        vars(made).update(parts)
        return made

    @property
    def domains(self) -> np.ndarray:
        """Number of states of each variable, shape (n,)."""
        return np.array(self.sizes, np.int64)

    def factor_graph(self) -> "FactorGraph":
        """Itself."""
        return self

    def log_tables(self) -> tuple[np.ndarray, ...]:
        """β times each log table, zeros kept at −inf: the tables whose product is the measure."""
        if self.beta == 1.0:
            return self.tables
        zeros = [np.isneginf(t) for t in self.tables]
        return tuple(np.where(z, t, self.beta * np.where(z, 0.0, t)) for z, t in zip(zeros, self.tables, strict=True))

    def log_weight(self, x: np.ndarray) -> float:
        """Σ_a β θ_a(x_a) for one configuration of states, shape (n,); −inf where its weight is zero."""
        x = np.asarray(x)
        if x.shape != (self.n,):
            raise ValueError(f"a configuration of this model has shape ({self.n},), not {x.shape}")
        if any(x[v] != state for v, state in self.evidence):
            return float("-inf")
        return float(sum(t[tuple(x[v] for v in s)] for s, t in zip(self.scopes, self.log_tables(), strict=True)))

    def condition(self, evidence: Mapping[int, int]) -> "FactorGraph":
        """The same measure restricted to configurations that agree with `evidence`, {variable: state}.

        **Raises:** `ValueError` when it contradicts evidence that is there already.
        """
        merged = dict(self.evidence)
        for v, state in evidence.items():
            if merged.setdefault(int(v), int(state)) != state:
                raise ValueError(f"variable {v} was observed in state {merged[v]} already; it cannot also be {state}")
        return FactorGraph(self.sizes, self.scopes, self.tables, _pairs(merged), self.beta, self.text)

    def tempered(self, beta: float) -> "FactorGraph":
        """The measure raised to the power `beta`."""
        return FactorGraph(self.sizes, self.scopes, self.tables, self.evidence, self.beta * float(beta), self.text)


def _tables_fit(sizes: tuple[int, ...], scopes: tuple[tuple[int, ...], ...], tables: tuple[np.ndarray, ...]) -> bool:
    """Whether every table certainly fits its scope: all at once, since files hold very many small ones."""
    flat = np.array([v for scope in scopes for v in scope])
    shapes = [getattr(table, "shape", (-1,)) for table in tables]
    if list(map(len, shapes)) != list(map(len, scopes)):
        return False
    if len(flat) == 0:
        return True
    known = flat.dtype.kind == "i" and flat.min() >= 0 and flat.max() < len(sizes)
    if not known or sum(map(len, map(set, scopes))) != len(flat):
        return False
    return bool((np.array(sizes)[flat] == np.fromiter(itertools.chain.from_iterable(shapes), np.int64)).all())


def _are_logs(tables: Sequence[np.ndarray]) -> bool:
    """Whether no entry is NaN or +inf: the small tables all at once."""
    large = [table for table in tables if np.size(table) > _LARGE]
    small = tables if not large else [table for table in tables if np.size(table) <= _LARGE]
    together = np.concatenate([np.zeros(0), *small], axis=None)
    return all(bool((np.asarray(table) < np.inf).all()) for table in (together, *large))


def _pairs(evidence: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((int(v), int(s)) for v, s in evidence.items()))
