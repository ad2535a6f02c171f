"""Evidence: which variables were observed, and in which state.

A file holds `n v x v x …`, or, in the older form, the number of samples (1) before that; a leading 0 says that there is
none. The number of words tells the two apart: 1 + 2n is odd, 2 + 2n even. On the command line it is `3=1,7=0`.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from calipers.io.errors import InputError, SpecError
from calipers.io.tokens import Tokens

_TEXT = re.compile(r"\s*\d{1,18}\s*=\s*\d{1,18}\s*")

Evidence = str | os.PathLike[str] | Mapping[int, int] | None


def read_evidence(evidence: Evidence, sizes: Sequence[int]) -> dict[int, int]:
    """Reads evidence about variables with `sizes` states.

    **Arguments:** `evidence`, a file, a text like `"3=1,7=0"`, a mapping {variable: state}, or None.

    **Returns:** {variable: state}.

    **Raises:** `InputError` when the file is damaged, a variable or a state is not in the model, or one variable is
    given two states; `SpecError` when a text is malformed.
    """
    if evidence is None or evidence == "":
        return {}
    if isinstance(evidence, Mapping):
        return _collect(((int(v), int(x), None) for v, x in evidence.items()), sizes, "evidence")
    if isinstance(evidence, str) and "=" in evidence and not os.path.exists(evidence):
        return _collect(_parse_text(evidence), sizes, f"evidence {evidence!r}")
    tokens = Tokens(evidence)
    start = _first_pair(tokens)
    values = tokens.integers(start, len(tokens) - start, "a variable or its state")
    places = range(start, len(tokens), 2)
    return _collect(zip(values[::2], values[1::2], places, strict=True), sizes, tokens.path, tokens)


def _parse_text(text: str) -> list[tuple[int, int, None]]:
    parts = [p for p in text.split(",") if p.strip()]
    for part in parts:
        if not _TEXT.fullmatch(part):
            raise SpecError(f"evidence {text!r}: expected variable=state pairs like '3=1,7=0', but came {part!r}")
    pairs = [part.split("=") for part in parts]
    return [(int(v), int(x), None) for v, x in pairs]


def _first_pair(tokens: Tokens) -> int:
    """The word at which the pairs start; the number of words when there are none."""
    words = len(tokens)
    n = tokens.integer(0, "the number of observed variables") if words else 0
    if n == 0:
        return words
    if words == 1 + 2 * n:
        return 1
    if n == 1 and words % 2 == 0:
        n = tokens.integer(1, "the number of observed variables")
        if words == 2 + 2 * n:
            return 2
    elif _holds_samples(tokens, n):
        tokens.fail(0, f"the file holds {n} samples of evidence; expected one (keep the one you mean)")
    tokens.fail(words - 1, f"expected {n} pairs (variable, state), but {words - 1} words follow the count")


def _holds_samples(tokens: Tokens, samples: int) -> bool:
    """Whether the words are `samples` times `n v x …`."""
    place = 1
    for _ in range(samples):
        if place >= len(tokens) or not tokens.words[place].isdigit() or len(tokens.words[place]) > 18:
            return False
        place += 1 + 2 * int(tokens.words[place])
    return place == len(tokens)


def _collect(
    pairs: Iterable[tuple[int, int, Any]], sizes: Sequence[int], path: str, tokens: Tokens | None = None
) -> dict[int, int]:
    """Checks pairs (variable, state, place of the word) against the model and against each other."""
    found: dict[int, int] = {}
    for v, x, place in pairs:
        if not 0 <= v < len(sizes):
            problem = f"variable {v} is not in the model, which has {len(sizes)} variables (from 0)"
        elif not 0 <= x < sizes[v]:
            problem = f"variable {v} has {sizes[v]} states (from 0); state {x} is not one of them"
        elif found.setdefault(v, x) != x:
            problem = f"variable {v} is observed in state {found[v]} and in state {x}"
        else:
            continue
        raise InputError(path, tokens.line(place) if tokens else None, problem)
    return found
