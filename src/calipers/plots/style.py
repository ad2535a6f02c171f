"""What all figures share: colours that color-blind readers can tell apart (Okabe & Ito 2008), and quiet axes."""

from typing import Any

INK, GREY, PALE = "#222222", "#7a7a7a", "#d9d9d9"
COLOURS = {
    "exact": "#222222",
    "mean field": "#0072b2",
    "Bethe": "#d55e00",
    "lower": "#0072b2",
    "upper": "#d55e00",
    "Monte Carlo": "#009e73",
}


def axes(ax: Any, width: float = 6.4, height: float = 4.2) -> Any:
    """The axes given, or those of a new figure; without frame on top and right, ticks light.

    **Raises:** `ImportError` naming the extra when matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as missing:
        raise ImportError("figures need matplotlib: pip install 'calipers[plot]'") from missing
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(colors=GREY, labelcolor=INK, length=3)
    return ax


def note(ax: Any, text: str, at: tuple[float, float], colour: str = INK, **where: Any) -> None:
    """A label beside a curve, in its colour, instead of a legend; a pale halo keeps it legible over lines."""
    from matplotlib.patheffects import withStroke

    effects = [withStroke(linewidth=3.0, foreground="white")]
    ax.annotate(text, at, **{"color": colour, "size": 9.5, "path_effects": effects, "zorder": 6} | where)
