"""Where samples go: an npz with their diagnostics, or a CSV with one configuration a row."""

import csv
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import numpy as np

from calipers.io.errors import InputError

CONVENTION = "state 0 is spin +1, state 1 is spin -1"
_ROWS = 4096  # turned into text together


def write(path: str | None, states: np.ndarray, log_weights: Any, model: Any, doc: dict[str, Any]) -> None:
    """Writes states, shape (count, n), to `path` (.npz or .csv), or as CSV to stdout.

    **Raises:** `InputError` when the file cannot be written.
    """
    if path is None:
        _write_csv(sys.stdout, states, log_weights, model)
        return
    try:
        if path.endswith(".npz"):
            np.savez(path, **_arrays(states, log_weights, model, doc))
        else:
            with open(path, "w", encoding="utf-8", newline="") as file:
                _write_csv(file, states, log_weights, model)
    except OSError as error:
        raise InputError(path, None, f"cannot be written: {error.strerror or error}") from None


def _arrays(states: np.ndarray, log_weights: Any, model: Any, doc: dict[str, Any]) -> dict[str, Any]:
    """Everything by name; nothing that needs pickle to be read."""
    known = {key: np.array(value) for key, value in doc["samples"].items() if key != "log_weights"}
    known |= {"states": states, "convention": np.array(CONVENTION), "seed": np.array(doc["seed"])}
    known |= {"model": np.array(doc["model"]["source"]), "sha256": np.array(doc["model"]["sha256"])}
    if log_weights is not None:
        known["log_weights"] = log_weights
    else:
        known["log_z"] = np.array([float(doc["log_z"][side]) for side in ("lower", "upper")])
    labels = getattr(model, "labels", None)
    return known if labels is None else {**known, "labels": np.array([str(label) for label in labels])}


def _write_csv(file: TextIO, states: np.ndarray, log_weights: Any, model: Any) -> None:
    """A heading of labels, or x0, x1, …; before it `log_weight` where there is one."""
    labels = getattr(model, "labels", None)
    names = [f"x{v}" for v in range(states.shape[1])] if labels is None else [str(label) for label in labels]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names if log_weights is None else ["log_weight", *names])
    writer.writerows(_rows(states, log_weights))
    file.flush()


def _rows(states: np.ndarray, log_weights: Any) -> Iterator[list[Any]]:
    for start in range(0, len(states), _ROWS):
        block = states[start : start + _ROWS].tolist()
        if log_weights is None:
            yield from block
        else:
            yield from ([w, *x] for w, x in zip(log_weights[start : start + _ROWS].tolist(), block, strict=True))
