"""The flow: what it draws is what it says, and it improves on the fit that it stands on."""

import numpy as np
import pytest

import calipers as cal
from calipers.core.method import Limits
from calipers.variational.assessment import assess
from calipers.variational.conditional import straight
from calipers.variational.flow import Flow
from calipers.variational.gaussian import GaussianVI
from calipers.variational.target import Target

pytest.importorskip("flowjax")


@pytest.mark.slow
def test_a_flow_improves_on_its_gaussian():
    model = cal.hierarchical_normal([28.0, 8.0, -3.0], [15.0, 10.0, 16.0])
    target, random = Target(model), np.random.default_rng(0)
    outer = straight(GaussianVI().fitted(target, random).q)
    q, trace = Flow(most=800).fitted(target, outer, random, Limits())
    before, after = assess(target, outer, random, 8192), assess(target, q, random, 8192)
    assert len(trace) <= 1000
    assert after.elbo > before.elbo + 0.02
    u, logs = q.draw(random, 200)
    np.testing.assert_allclose(q.log_density(u), logs, atol=1e-5)


def test_bad_arguments():
    for bad in ({"layers": 0}, {"rate": 0.0}, {"most": 0}):
        with pytest.raises(ValueError, match="positive"):
            Flow(**bad)
