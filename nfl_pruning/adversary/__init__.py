"""An adversary for scores: it looks for a data law on which score-based pruning is not valid."""
