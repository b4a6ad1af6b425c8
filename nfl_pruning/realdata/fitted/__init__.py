"""The mixture that is fitted to features: their space, clusters, shrunk covariances."""
