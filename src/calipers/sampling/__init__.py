"""Random draws from models: kernels that leave p(x) invariant, chains of them, annealing. `bounds/` does the bounding."""
