"""The moments conditioned on the student's margin, compiled whole: vectorised, differentiable."""
