"""Binary quadratic models as dimod writes them in JSON (`BinaryQuadraticModel.to_serializable`, schema 3, no bytes).

    E = Σ h s + Σ J s s + offset over spins; a binary variable x is s = 2x − 1. J and h change sign here; −β·offset
    joins log Z.

dimod's files say no temperature: β is 1, unless "info" holds {"calipers_beta": β}, which `write_bqm` puts there.
Every length, index and number is checked before dimod sees it: it trusts its input, down to the memory it addresses.
"""

import json
import math
from collections.abc import Hashable
from os import PathLike, fspath
from typing import Any

import numpy as np

from calipers.io.errors import InputError
from calipers.io.labels import as_label, label_text
from calipers.io.tokens import read_bytes
from calipers.models.foreign import extra
from calipers.models.ising import Ising

_LISTS = ("variable_labels", "linear_biases", "quadratic_biases", "quadratic_head", "quadratic_tail")


def read_bqm(path: str | PathLike[str]) -> Ising:
    """Reads a magnet from a dimod JSON file; labels are kept.

    **Raises:** `InputError` when the file is missing, unreadable, damaged or no such model; `ImportError` that names
    the extra when dimod is not installed.
    """
    name = fspath(path)
    document = _read_json(name)
    try:
        fields = _check(document)
        dimod = extra("dimod", "bqm")
        bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(**fields)
        info = document.get("info")
        beta = info.get("calipers_beta", 1.0) if isinstance(info, dict) else 1.0
        return Ising.from_bqm(bqm, _number(beta, "calipers_beta"))
    except (ValueError, TypeError) as error:
        raise InputError(name, None, str(error)) from None


def write_bqm(model: Ising, path: str | PathLike[str]) -> None:
    """Writes a magnet's energy as a dimod JSON file; β goes into its "info".

    **Raises:** `ValueError` for labels that JSON cannot hold; `ImportError` that names the extra.
    """
    for label in model.labels or ():
        label_text(label)
    document = model.to_bqm().to_serializable(use_bytes=False)
    document["info"] = {**document.get("info", {}), "calipers_beta": float(model.beta)}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)


def _read_json(name: str) -> dict[str, Any]:
    data = read_bytes(name)
    try:
        document = json.loads(data)
    except json.JSONDecodeError as error:
        raise InputError(name, error.lineno, f"expected the JSON of a dimod model: {error.msg}") from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InputError(name, None, f"expected the JSON of a dimod model: {error}") from None
    if not isinstance(document, dict) or document.get("type") != "BinaryQuadraticModel":
        raise InputError(
            name, None, 'expected a dimod model, {"type": "BinaryQuadraticModel", …}; this JSON is not one'
        )
    return document


def _check(document: dict[str, Any]) -> dict[str, Any]:
    """What `from_numpy_vectors` takes, checked."""
    if document.get("use_bytes"):
        raise ValueError("its arrays are bytes; write it with to_serializable(use_bytes=False)")
    lists = {key: document.get(key) for key in _LISTS}
    wrong = [key for key, value in lists.items() if not isinstance(value, list)]
    if wrong:
        raise ValueError(f"expected a list {wrong[0]!r} (schema 3.0.0)")
    labels = _labels(document["variable_labels"])
    linear, quadratic = (_numbers(document[key], key) for key in ("linear_biases", "quadratic_biases"))
    head, tail = (_indices(document[key], key, len(labels)) for key in ("quadratic_head", "quadratic_tail"))
    if len(linear) != len(labels) or not len(quadratic) == len(head) == len(tail):
        lengths = ", ".join(f"{key} {len(document[key])}" for key in _LISTS)
        raise ValueError(f"lists of different lengths: {lengths}")
    if (head == tail).any():
        raise ValueError(f"interaction {int(np.argmax(head == tail))} joins a variable to itself")
    if document.get("variable_type") not in ("SPIN", "BINARY"):
        raise ValueError(f"variable_type is {document.get('variable_type')!r:.40}; expected SPIN or BINARY")
    return {
        "linear": linear,
        "quadratic": (head, tail, quadratic),
        "offset": _number(document.get("offset", 0.0), "offset"),
        "vartype": document["variable_type"],
        "variable_order": labels,
    }


def _labels(values: list[Any]) -> list[Hashable]:
    labels = [as_label(value) for value in values]
    if len(set(labels)) != len(labels):
        raise ValueError("a variable's label came twice")
    return labels


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise ValueError(f"{what} is {value!r:.40}; expected a finite number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{what} is beyond float64; expected a finite number") from None


def _numbers(values: list[Any], what: str) -> np.ndarray:
    return np.array([_number(value, f"an entry of {what}") for value in values], np.float64)


def _indices(values: list[Any], what: str, n: int) -> np.ndarray:
    for value in values:
        if type(value) is not int or not 0 <= value < n:
            raise ValueError(f"an entry of {what} is {value!r:.40}; expected a variable's number, 0 to {n - 1}")
    return np.array(values, np.int64)
