"""One Gaussian as a mixture of one component: free intercepts and class quotas for it as well."""

from __future__ import annotations

import numpy as np

from nfl_pruning.inputs import Isotropic, Mixture
from nfl_pruning.probes import FixedProbe, WeightsProbe
from nfl_pruning.problem import Problem


def needs_component(problem: Problem) -> bool:
    """Whether a problem of isotropic inputs asks for what only mixtures are solved with."""
    return isinstance(problem.inputs, Isotropic) and bool(problem.only_for_mixtures)


def as_one_component(problem: Problem) -> Problem:
    """The same problem, its standard normal inputs written as a mixture of one component.

    The teacher lies along the first coordinate, a fixed probe in the plane of the first two.
    """
    one = Mixture(np.ones(1), np.zeros((1, 2)), np.ones(1), None, title="isotropic")
    probe = problem.probe
    if isinstance(probe, FixedProbe):
        cosine = probe.alignment
        across = np.sqrt(max(1 - cosine**2, 0.0))
        probe = WeightsProbe(problem.probe_norm * np.array([cosine, across]), 0.0)
    return problem.replace(inputs=one, probe=probe)
