"""Two classes: deterministic integrals, Newton's method, certified to 1e-8."""
