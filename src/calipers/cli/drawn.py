"""What `calipers sample` was asked for, and what came of it."""

from typing import Any, NamedTuple


class Job(NamedTuple):
    """What was asked for: `wanted` samples, or the `best` most probable configurations."""

    wanted: int
    best: int | None
    method: Any
    limits: Any
    seed: int
    every: int = 1
    burn_in: int | None = None


class Drawn(NamedTuple):
    """What came of it: `about`, the diagnostics; `answer` on log Z, if one is known; `log_weights` of the best ones."""

    states: Any
    about: dict[str, Any]
    answer: Any
    stopped: str
    reason: str = ""
    log_weights: Any = None
