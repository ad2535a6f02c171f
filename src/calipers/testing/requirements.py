"""One sentence for every broken promise, and the rounding that is forgiven."""

import math

TOLERANCE = 1e-9  # nats, relative to max(1, |log Z|)


def require(kept: bool, message: str) -> None:
    if not kept:
        raise AssertionError(message)


def slack_of(log_z: float) -> float:
    return TOLERANCE * max(1.0, abs(log_z)) if math.isfinite(log_z) else 0.0
