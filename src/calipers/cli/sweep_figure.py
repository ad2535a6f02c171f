"""The figure of a sweep: the bracket as a band, each method as a line, one colour a method."""

from typing import Any

import typer

_NAMES = {"exact": ("exact", "black"), "mean_field": ("mean field", "tab:red"), "bethe": ("Bethe", "tab:blue")}
_CHAIN = "#009e73"
_PANELS = ("energy_per_site", "magnetization_per_site", "entropy_per_site")


def draw(rows: list[dict[str, Any]], variables: int, title: str, path: str) -> None:
    """Writes the figure; against the field when only that varies.

    **Raises:** `typer.BadParameter` when matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise typer.BadParameter("figures need matplotlib; install it with: pip install 'calipers[plot]'") from None
    varied = (x for x in ("T", "h") if len(set(_column(rows, x))) > 1 and "inf" not in _column(rows, x))
    against = next(varied, "beta")
    rows = sorted(rows, key=lambda row: (row[against], row["h"]))
    figure = Figure(figsize=(9.0, 6.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True).ravel()
    x = _column(rows, against)
    low, high = ([_number(v) / variables for v in _column(rows, side)] for side in ("lower", "upper"))
    axes[0].fill_between(x, low, high, color="tab:green", alpha=0.3, label="bracket")
    _lines(axes[0], rows, x, "log_z", variables)
    axes[0].set_ylabel("log Z per site (nats)")
    for ax, panel in zip(axes[1:], _PANELS, strict=True):
        _lines(ax, rows, x, panel, 1)
        _dots(ax, rows, x, panel)
        ax.set_ylabel(panel.replace("_per_site", " per site"))
    for ax in axes[2:]:
        ax.set_xlabel(against)
    axes[0].legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def _lines(ax: Any, rows: list[dict[str, Any]], x: list[Any], panel: str, scale: int) -> None:
    for name, (label, colour) in _NAMES.items():
        y = [_number(row.get(f"{name}_{panel}")) / scale for row in rows]
        if any(v == v for v in y):
            ax.plot(x, y, color=colour, label=label, marker="." if len(x) < 40 else None)


def _dots(ax: Any, rows: list[dict[str, Any]], x: list[Any], panel: str) -> None:
    """A Markov chain's estimates, with error bars."""
    y, error = ([_number(row.get(f"monte_carlo_{panel}{end}")) for row in rows] for end in ("", "_error"))
    if any(v == v for v in y):
        ax.errorbar(x, y, error, color=_CHAIN, fmt="o", markersize=3.5, elinewidth=1, label="Monte Carlo")
        ax.legend(frameon=False)


def _column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
