"""When a fit without a ridge exists, as a function of the whole problem."""
