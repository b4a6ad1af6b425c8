"""Trials for inputs in components: mixtures, with any number of classes."""
