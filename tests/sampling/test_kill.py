"""kill −9 at random moments: a chain that goes on from its checkpoint has the stream of one that never stopped."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

RUN = """
import sys
import numpy as np
import calipers as cal

kernel, out, checkpoint, pause = eval(sys.argv[1], {"cal": cal}), sys.argv[2], sys.argv[3] or None, float(sys.argv[4])
model = cal.Ising.square((12, 12), coupling="pm1", beta=0.8, seed=1)
result = cal.run_chain(
    model, kernel, sweeps=3000, measure_every=3, burn_in=200, seed=11, keep=True, checkpoint=checkpoint,
    checkpoint_seconds=0.02, observables={"overlap": cal.overlap}, progress=lambda at: __import__("time").sleep(pause),
)
assert not result.interrupted
np.savez(out, states=result.states, **result.series)
print("done", flush=True)
"""


def start(kernel, out, checkpoint, pause):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, kernel, str(out), str(checkpoint), str(pause)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["cal.HeatBath('random')", "cal.ParallelTempering(replicas=4, adapt=50)"])
def test_ten_kills_change_nothing(kernel, tmp_path):
    whole, pieces, checkpoint = tmp_path / "whole.npz", tmp_path / "pieces.npz", tmp_path / "run.npz"
    assert start(kernel, whole, "", 0.0).communicate()[0].strip() == "done"
    moment, kills, seen = random.Random(5), 0, set()
    while kills < 10:
        run = start(kernel, pieces, checkpoint, 0.02)
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        deadline = time.monotonic() + 120.0
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:  # it is at work
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(moment.uniform(0.0, 0.6))
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        assert run.returncode == -signal.SIGKILL
        kills += 1
        with np.load(checkpoint) as held:
            seen.add(int(held["at"][0]))
    assert len(seen) >= 8  # it came forward between kills
    assert start(kernel, pieces, checkpoint, 0.0).communicate()[0].strip() == "done"
    with np.load(whole) as a, np.load(pieces) as b:
        assert set(a.files) == set(b.files)
        assert all(np.array_equal(a[k], b[k]) for k in a.files)
