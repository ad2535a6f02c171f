"""The same program on one device, eight, and two processes: the same answers, up to rounding."""

import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import calipers as cal
from calipers.io.shuffle import blocks
from calipers.variational.spread import Spread

PROGRAM = """
import sys
import jax
import numpy as np
if len(sys.argv) > 2:
    jax.distributed.initialize(f"127.0.0.1:{sys.argv[2]}", 2, int(sys.argv[3]))
import calipers as cal
from calipers.variational.conjugate_run import ConjugateRun
from calipers.variational.streamed_run import StreamedRun

random = np.random.default_rng(0)
x = random.normal(size=(1003, 3))
known = cal.logistic_regression(x, (random.random(1003) < 0.4).astype(float))
rows = cal.Rows.arrays(known.data)
model = cal.StreamedPosterior(known.log_prior, known.log_likelihood, rows, prior_sample=known.prior_sample)
place = None if sys.argv[1] == "-" else sys.argv[1]
run = StreamedRun(model, cal.StochasticVI(batch=150, piece=110, window=3, checkpoint=place), [1])
for _ in range(60):
    run.advance()
run.save()
logs = run.target.log_weights(np.array([[0.1, 0.2, 0.3], [0.0, -0.1, 0.1]]))

apart = np.concatenate([x[:500] + 4.0, x[500:]])
method = cal.ConjugateVI(batch=150, piece=110, window=3, starts=1)
run = ConjugateRun(cal.gaussian_mixture(cal.Rows.arrays(apart), 2), method, [1])
while not run.over:
    run.look() if run.due else run.advance()
answer = cal.log_z(model, cal.StochasticVI(batch=150, piece=110, window=3, steps=20), time_limit=300.0, check=False)
print(len(jax.devices()), jax.process_count())
numbers = [*StreamedRun(model, cal.StochasticVI(batch=150, piece=110, window=3, checkpoint=place), [1]).ascent.theta]
print("numbers", *numbers, *logs, *run.p, run.best.bound, answer.stats["estimate"])
"""


def started(*arguments, devices=1):
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    lines = [line for line in out.splitlines() if not line.startswith("[Gloo]")]
    return lines[0], np.array([float(word) for word in lines[1].split()[1:]])


@pytest.mark.slow
def test_divisions_change_rounding_only(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = [tmp_path / name for name in ("one.npz", "eight.npz", "two.npz")]
    running = [started(places[0]), started(places[1], devices=8), *(started(places[2], port, i) for i in (0, 1))]
    (_, one), (eight_told, eight), (first_told, first), (second_told, second) = map(told, running)
    assert (eight_told, first_told, second_told) == ("8 1", "2 2", "2 2")
    np.testing.assert_array_equal(first, second)  # all processes end with the same bits
    np.testing.assert_allclose(eight, one, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(first, one, rtol=1e-9, atol=1e-9)
    assert (eight != one).any()  # they did divide


def _squares(common, rows):
    return {"sum": (common * rows[:, None] ** 2).sum(0), "count": rows.size}


def test_totals_are_sums_whatever_is_left_over():
    rows = np.arange(11.0)
    with jax.enable_x64(True):
        found = Spread().total(_squares, np.array([1.0, 2.0]), rows)
    np.testing.assert_array_equal(found["sum"], [385.0, 770.0])


@pytest.mark.parametrize(("readers", "piece"), [(2, 10), (3, 10), (2, 60), (4, 7)])
def test_readers_share_every_row(readers, piece):
    rows = cal.Rows.arrays(np.arange(103))
    parts = [list(blocks(rows, 4, piece, (i, readers))) for i in range(readers)]
    assert len({len(part) for part in parts}) == 1
    seen = []
    for turn in zip(*parts, strict=True):
        assert len({own for _, own in turn}) == 1
        assert len({len(part) for part, _ in turn}) == 1
        seen += [row for part, _ in (turn if turn[0][1] else turn[:1]) for row in part]
    assert sorted(seen) == list(range(103))


def test_too_many_devices_are_refused():
    with pytest.raises(cal.Refusal, match="JAX has"):
        Spread(99)
    with pytest.raises(ValueError, match="devices is -1"):
        cal.StochasticVI(devices=-1)
