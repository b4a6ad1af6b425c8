"""Long work: the experiments of a checkout, several processes, progress, compiled programs."""
