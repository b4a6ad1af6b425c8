"""How statements measure: training sets in few dimensions, their fits, integrals, distances."""
