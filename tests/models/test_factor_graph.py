"""What a factor graph is built from is looked at when it is built."""

import math

import numpy as np
import pytest

import calipers as cal
from calipers.models.factor_graph import FactorGraph

SMALL, LARGE = np.zeros(2), np.zeros(8192)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("size", [2, 8192])
def test_a_table_that_holds_no_logs_is_named(bad, size):
    tables = [SMALL, LARGE, np.zeros(size)]
    tables[2][1] = bad
    with pytest.raises(ValueError, match="factor 2 holds NaN"):
        FactorGraph((2, 8192, size), ((0,), (1,), (2,)), tuple(tables))


def test_zeros_are_logs_and_tables_of_any_layout_are_taken():
    table = np.asfortranarray(np.array([[0.0, -math.inf, 1.0], [2.0, 0.5, -math.inf]]))
    graph = FactorGraph((2, 3), ((0, 1), ()), (table, np.array(0.25)))
    assert cal.log_z(graph).value == pytest.approx(0.25 + math.log(1 + math.e + math.exp(2) + math.exp(0.5)), abs=1e-12)


@pytest.mark.parametrize("engine", [None, "jax"])
def test_a_zero_constant_leaves_nothing_to_eliminate(engine):
    graph = FactorGraph((2, 2), ((0, 1), ()), (np.zeros((2, 2)), np.array(-math.inf)))
    answer = cal.log_z(graph, cal.Elimination(engine=engine))
    assert answer.exact
    assert answer.value == -math.inf
    assert "Nothing to eliminate" in str(answer.plan)
