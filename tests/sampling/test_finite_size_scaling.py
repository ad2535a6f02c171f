"""The finite-size-scaling example, small: crossings come out where they should, and the figure is drawn."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "examples" / "finite_size_scaling.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("finite_size_scaling", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_small_lattices_cross_near_the_critical_temperature(example, tmp_path):
    found = example.simulate(sizes=(4, 8), sweeps=600)
    assert set(found.crossings) == {(4, 8)}
    assert 0.0 < found.error < 0.05
    assert abs(found.T_c - example.CRITICAL) < 5 * found.error + 0.02  # crossings of small sizes are off
    pytest.importorskip("matplotlib")
    example.draw(found, str(tmp_path / "f.png"))
    assert (tmp_path / "f.png").stat().st_size > 10_000
