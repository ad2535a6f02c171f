"""The machine a command runs on: when the process started, its threads, its memory, the cache of compiled code.

Threads must be said before numpy, numba or jax are imported, so that all of it goes through the environment.
"""

import os
import sys
import time
from pathlib import Path

_LOADED = time.monotonic()
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC")
_SLOWEST_START = 2.0  # seconds; a process older than that at our first line was another program's before (exec)


def process_start() -> float:
    """When this process started, on `time.monotonic`'s clock: what time limits count from.

    Where the system does not say, or the process is too old to be ours alone, when this file was imported.
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22, counted after the name in brackets
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks
    except (OSError, ValueError, IndexError, AttributeError):
        return _LOADED
    return time.monotonic() - age if 0 <= age <= _SLOWEST_START else _LOADED


def prepare(threads: int | None) -> None:
    """Sets the number of threads and the compilation cache, before anything heavy is imported."""
    if threads is not None:
        _limit_threads(threads)
    _keep_compiled_code()


def _limit_threads(threads: int) -> None:
    for name in _THREADS:  # NPROC is what XLA asks for
        os.environ[name] = str(threads)
    numba = sys.modules.get("numba")
    if numba is not None:  # imported already: inside a Python session, not on the command line
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))


def _keep_compiled_code() -> None:
    """Points jax to a persistent cache in the user's cache folder; without one that can be written, does nothing."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = (Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~/.cache"))) / "calipers" / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


def usable_memory(share: float = 0.8) -> float:
    """Bytes that a run may use unless told otherwise: `share` of what the system, or its container, has left."""
    left = [_system_memory(), _container_memory()]
    return share * min((x for x in left if x is not None), default=4e9)


def _system_memory() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def _container_memory() -> float | None:
    """What a control group's limit (version 2, then 1) leaves."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            return max(0.0, float(Path(limit).read_text()) - float(Path(used).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None
