"""Files beside the data, matched to their rows: scores, logits, subsets that other tools made."""
