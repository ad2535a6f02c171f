"""The methods by name, and where each lives: text only, so that naming one imports nothing.

Exact ones first, then lower bounds, upper bounds, both sides, statistical sides, estimates.
"""

METHODS = {
    "Auto": "calipers.auto",
    "Enumeration": "calipers.exact.enumeration",
    "Elimination": "calipers.exact.elimination",
    "ClosedForm": "calipers.exact.closed_form",
    "Planar": "calipers.exact.planar",
    "TransferMatrix": "calipers.exact.transfer_matrix",
    "ModelCounting": "calipers.exact.counting",
    "Conjugate": "calipers.exact.conjugate",
    "MeanField": "calipers.variational.mean_field",
    "BlackBoxVI": "calipers.variational.black_box",
    "StructuredMeanField": "calipers.bounds.structured_mean_field",
    "RegionBethe": "calipers.bounds.region_bethe",
    "Tangent": "calipers.bounds.tangent",
    "Pairs": "calipers.bounds.pairs",
    "Strips": "calipers.bounds.strips",
    "MiniBucket": "calipers.bounds.mini_bucket",
    "LogDeterminant": "calipers.bounds.log_determinant",
    "Search": "calipers.bounds.search",
    "Clamping": "calipers.bounds.clamping",
    "ImportanceSampling": "calipers.bounds.proposal",
    "AnnealedImportance": "calipers.bounds.annealed",
    "HamiltonianAnnealing": "calipers.bounds.hamiltonian_annealing",
    "CurvatureBounds": "calipers.bounds.curvature",
    "Bethe": "calipers.variational.bethe",
    "DivergenceVI": "calipers.variational.divergence_vi",
    "GaussianVI": "calipers.variational.gaussian",
    "PopulationMonteCarlo": "calipers.variational.population_method",
    "Flow": "calipers.variational.flow",
}
