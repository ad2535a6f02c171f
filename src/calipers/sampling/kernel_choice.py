"""Which Markov kernel suits a model when nobody has said.

Clusters where no bond is frustrated: their autocorrelation times hardly grow with size. Heat bath for other magnets,
Gibbs for the rest. **Fails** in glasses, where one temperature alone mixes badly: `ParallelTempering` is asked for.
"""

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.sampling.cluster import SwendsenWang
from calipers.sampling.cluster_kernels import frustrated
from calipers.sampling.gibbs import Gibbs
from calipers.sampling.kernel import AbstractKernel
from calipers.sampling.local import HeatBath
from calipers.sampling.neighbours import neighbours


def suitable_kernel(model: AbstractDiscreteModel) -> AbstractKernel:
    """`SwendsenWang()` for magnets with bonds and without frustration, `HeatBath()` for others, else `Gibbs()`."""
    try:
        wiring = neighbours(model)
    except Refusal:
        return Gibbs()
    if not wiring.coupling.any() or frustrated(wiring.ptr, wiring.nbr, wiring.coupling, wiring.field):
        return HeatBath()
    return SwendsenWang()
