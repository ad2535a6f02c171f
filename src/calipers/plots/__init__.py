"""Figures: one pure function each, `(result, *, ax=None) -> Axes`. They change no global setting.

Bounds are bands, estimates points or dashed lines, exact values solid lines; a method has one colour everywhere.
"""

from calipers.plots.chains import autocorrelations, trace
from calipers.plots.fits import elbo_trace, pair, weights_tail
from calipers.plots.gap_log import gap_log
from calipers.plots.magnetization import magnetization
from calipers.plots.observable import observable
from calipers.plots.self_consistency import self_consistency

__all__ = [
    "autocorrelations",
    "elbo_trace",
    "gap_log",
    "magnetization",
    "observable",
    "pair",
    "self_consistency",
    "trace",
    "weights_tail",
]
