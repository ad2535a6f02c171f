"""A run as an ArviZ InferenceData: series as a posterior with dimensions (chain, draw), configurations with site.

Series of another shape, as overlaps of pairs of chains, are left out, and named in the attributes. Importing arviz
warns of its own future; that warning alone is let go by, and only while it is imported.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np


def inference_data(series: Mapping[str, np.ndarray], states: np.ndarray | None, about: Mapping[str, Any]) -> Any:
    """An `arviz.InferenceData` of a run.

    **Arguments:** `series`, "energy" and others, (chains, t); `states`, (chains, t, n), if they were kept; `about`,
    attributes.

    **Returns:** a posterior of variables (chain, draw), with `states` (chain, draw, site).

    **Raises:** `ImportError` naming the extra when arviz is not installed.
    """
    arviz, xarray = _modules()
    shape = series["energy"].shape
    found: dict[str, Any] = {k: (("chain", "draw"), x) for k, x in series.items() if x.shape == shape}
    if states is not None:
        found["states"] = (("chain", "draw", "site"), states)
    left_out = ", ".join(k for k, x in series.items() if x.shape != shape)
    facts = {**about, "left_out": left_out, "inference_library": "calipers"}
    sizes = zip(("chain", "draw", "site"), (*shape, 0 if states is None else states.shape[2]), strict=True)
    coordinates = {name: np.arange(size) for name, size in sizes if size}
    return arviz.InferenceData(posterior=xarray.Dataset(found, coords=coordinates, attrs=facts))


def _modules() -> tuple[Any, Any]:
    """arviz and xarray."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
            import arviz
            import xarray
    except ImportError as missing:
        raise ImportError("inference data need arviz: pip install 'calipers[arviz]'") from missing
    return arviz, xarray
