"""Whether this thread is inside numba's compiler: what is raised there leaves half-made functions behind for good.

Deadlines and interrupts ring again until they are heard, so they may wait for it.
"""

import sys


def compiling() -> bool:
    """Whether numba is compiling, or loading what it has compiled before, in this thread."""
    module = sys.modules.get("numba.core.compiler_lock")
    return module is not None and bool(module.global_compiler_lock.is_locked())
