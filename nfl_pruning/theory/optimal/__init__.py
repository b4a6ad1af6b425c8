"""The best rule of a probe's margin, and the best numbers of a given selection."""
