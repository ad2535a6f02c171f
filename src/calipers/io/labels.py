"""Labels of sites as JSON: texts, numbers, and tuples of them; whatever else would not come back as it was."""

import json
from collections.abc import Hashable
from typing import Any


def label_text(label: Hashable) -> str:
    """The JSON text that reads back as this label.

    **Raises:** `ValueError` when there is none.
    """
    try:
        text = json.dumps(label)
        same = read_label(text) == label
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ValueError(f"the label {label!r} cannot be written; labels are texts, numbers or tuples of them")
    return text


def read_label(text: str) -> Hashable:
    """The label that a JSON text holds.

    **Raises:** `ValueError` when the text is no label.
    """
    try:
        return as_label(json.loads(text))
    except (ValueError, RecursionError):
        raise ValueError(f"the label {text[:40]!r} is not the JSON of a label") from None


def as_label(value: Any) -> Hashable:
    """A JSON value as a label: lists become tuples.

    **Raises:** `ValueError` for an object.
    """
    if isinstance(value, dict):
        raise ValueError("a label is a JSON object; expected a text, a number or a list of them")
    return tuple(as_label(part) for part in value) if isinstance(value, list) else value
