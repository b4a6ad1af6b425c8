"""The proportional limit compiled whole: vectorised, differentiable, fast."""
