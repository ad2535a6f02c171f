"""What a sweep over temperatures and fields found: a table of quantities with error bars, and the runs behind it."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from calipers.core.answer import number
from calipers.sampling.chain_result import ChainResult
from calipers.sampling.estimates import Estimate, Function
from calipers.sampling.histogram import Run, reweighted


class Point(NamedTuple):
    """One temperature and field: what was found there, and the chain it came from, if there is one.

    **Fields:** `beta` and `h`, that multiply and add to the model's own; `estimates` by name, error NaN where a method
    gave none; `run`; `reliable`, of a chain, or None.
    """

    beta: float
    h: float
    estimates: Mapping[str, Estimate]
    run: ChainResult | None = None
    reliable: bool | None = None

    @property
    def T(self) -> float:
        """1/β; infinite at β = 0."""
        return 1.0 / self.beta if self.beta else float("inf")


class Sweep(eqx.Module):
    """Quantities against temperature and field.

    **Arguments:** `points`; `n` sites; `own_beta`, the model's inverse temperature, which those of the points multiply;
    `by`, the kernel or method as text; `interrupted`; `functions`, what is made of means.
    """

    points: tuple[Point, ...]
    n: int = eqx.field(static=True)
    own_beta: float = eqx.field(static=True)
    by: str = eqx.field(static=True)
    interrupted: bool = eqx.field(static=True, default=False)
    functions: Mapping[str, Function] = eqx.field(static=True, default_factory=dict, repr=False)

    @property
    def names(self) -> list[str]:
        """The quantities that were found anywhere."""
        return list(dict.fromkeys(name for p in self.points for name in p.estimates))

    @property
    def T(self) -> np.ndarray:
        """Temperatures of the points, (p,)."""
        return np.array([p.T for p in self.points])

    def column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Values and standard errors of one quantity at all points, (p,) each; NaN where it was not found."""
        if name not in self.names:
            raise ValueError(f"{name!r} is not among the quantities: {', '.join(self.names)}")
        found = [p.estimates.get(name, Estimate(np.nan, np.nan)) for p in self.points]
        return np.array([e.value for e in found]), np.array([e.error for e in found])

    def reweight(self, *, T: Sequence[float] | None = None, beta: Sequence[float] | None = None) -> "Sweep":
        """The same quantities between the simulated temperatures, from all runs at once, for each field.

        **Arguments:** `T` or `beta`, inside the range that was simulated.

        **Raises:** `ValueError` outside it, and for a sweep without runs.
        """
        betas, found = chosen_betas(T, beta), []
        for h in dict.fromkeys(p.h for p in self.points):
            here = [p for p in self.points if p.h == h]
            runs = [Run(self.own_beta * p.beta, p.run.series) for p in here if p.run is not None and p.estimates]
            if len(runs) < len(here):
                raise ValueError("reweighting needs runs of a Markov chain that were not cut short, at every point")
            made = reweighted(runs, [self.own_beta * b for b in betas], self.n, self.functions)
            sure = all(p.reliable for p in here)
            found += [Point(b, h, e, None, sure) for b, e in zip(betas, made, strict=True)]
        return eqx.tree_at(lambda s: s.points, self, tuple(found))

    def rows(self) -> list[dict[str, Any]]:
        """A flat dictionary a point: T, beta, h, each quantity and its error, and whether the chain was reliable."""
        rows = []
        for p in self.points:
            row: dict[str, Any] = {"T": number(p.T), "beta": p.beta, "h": p.h}
            for name in self.names:
                value, error = p.estimates.get(name, Estimate(np.nan, np.nan))
                row |= {name: number(value), f"{name}_error": number(error)}
            rows.append(row | {"reliable": p.reliable})
        return rows

    def to_dict(self) -> dict[str, Any]:
        """The table as plain numbers and strings."""
        return {"by": self.by, "n": self.n, "interrupted": self.interrupted, "points": self.rows()}

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """The table as CSV, written to `path` if it is given."""
        columns = ["T", "beta", "h", *(x for name in self.names for x in (name, f"{name}_error")), "reliable"]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        if path is not None:
            Path(path).write_text(text.getvalue(), encoding="utf-8")
        return text.getvalue()

    def to_xarray(self) -> Any:
        """An xarray Dataset over (h, T), two variables a quantity: itself and its `_error`.

        **Raises:** `ImportError` naming the extra when xarray is not installed.
        """
        try:
            import xarray
        except ImportError as missing:
            raise ImportError("datasets need xarray: pip install 'calipers[arviz]'") from missing
        fields, temperatures = (
            list(dict.fromkeys(x)) for x in ([p.h for p in self.points], [p.T for p in self.points])
        )
        place = [(fields.index(p.h), temperatures.index(p.T)) for p in self.points]
        found = {}
        for name in self.names:
            for key, values in zip((name, f"{name}_error"), self.column(name), strict=True):
                table = np.full((len(fields), len(temperatures)), np.nan)
                for at, x in zip(place, values.tolist(), strict=True):
                    table[at] = x
                found[key] = (("h", "T"), table)
        about = {"by": self.by, "n": self.n}
        return xarray.Dataset(found, coords={"h": fields, "T": temperatures}, attrs=about)

    def __str__(self) -> str:
        few = [k for k in ("energy", "heat_capacity", "abs_magnetization", "binder") if k in self.names] or self.names
        lines = ["  ".join([f"{'T':>8} {'h':>6}", *(f"{k:>22}" for k in few)])]
        for p in self.points:
            cells = [f"{p.estimates[k]!s:>22}" if k in p.estimates else f"{'–':>22}" for k in few]
            lines.append(
                "  ".join([f"{p.T:8.4g} {p.h:6.3g}", *cells]) + ("  not reliable" if p.reliable is False else "")
            )
        return "\n".join(lines)


def chosen_betas(T: Sequence[float] | None, beta: Sequence[float] | None) -> list[float]:
    """The inverse temperatures that `T` or `beta` says; 1 when neither does.

    **Raises:** `ValueError` when both are given, for none at all, and for what is no temperature.
    """
    if T is not None and beta is not None:
        raise ValueError("T and beta say the same thing; give one of them")
    given = np.atleast_1d(np.asarray((1.0 if beta is None else beta) if T is None else T, np.float64)).ravel()
    if not len(given) or not np.isfinite(given).all() or (given < 0).any() or (T is not None and (given == 0).any()):
        raise ValueError(f"{'beta' if T is None else 'T'} is {given.tolist()}; finite, positive numbers are needed")
    return given.tolist() if T is None else (1.0 / given).tolist()
