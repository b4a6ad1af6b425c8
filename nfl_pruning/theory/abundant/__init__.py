"""The limit of abundant data: many samples, a fixed number of features."""
