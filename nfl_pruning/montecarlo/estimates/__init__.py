"""From trials to numbers: means with their errors, control variates, decisions."""
