"""The contract tests: what every method and every model must pass, ours and yours.

    check_method(MyMethod())       on the whole zoo: refuses politely or answers truly, proves no more than it says
    check_model(MyModel(...))      its log weights, factor graph, powers and restrictions are one and the same measure

Both raise `AssertionError` with one sentence saying which promise was broken, by what and where. A pass is no proof: a
bound that is wrong only on large or special models gets through. **Cost** `check_method` runs a method three times on
some forty small models, `check_model` visits at most 1024 configurations and enumerates what is small enough.
"""

from calipers.testing.methods import check_method
from calipers.testing.models import check_model
from calipers.testing.requirements import TOLERANCE

__all__ = ["TOLERANCE", "check_method", "check_model"]
