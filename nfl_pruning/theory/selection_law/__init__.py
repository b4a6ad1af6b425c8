"""What a selection tends to: the order that a score induces, keep probabilities, weights."""
