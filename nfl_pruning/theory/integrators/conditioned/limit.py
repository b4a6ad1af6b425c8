"""From a problem's numbers to its limit, as one compiled and differentiable function."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.losses import LOSSES
from nfl_pruning.theory.integrators.conditioned.cell import Cell, Kind
from nfl_pruning.theory.integrators.conditioned.geometry import direction, geometry
from nfl_pruning.theory.integrators.conditioned.in_sample import solve_in_sample
from nfl_pruning.theory.integrators.conditioned.mesh import Nodes
from nfl_pruning.theory.integrators.conditioned.rule import Rule, Setting, banded_cell
from nfl_pruning.theory.integrators.conditioned.solver import Answer, solve_cell
from nfl_pruning.theory.observables import error_and_loss
from nfl_pruning.theory.probe_fit import ProbeFit
from nfl_pruning.theory.state import State


class Limit(NamedTuple):
    """What a fit tends to; every entry is a float64 scalar, differentiable in the setting.

    Attributes:
        cosine: to the teacher. norm: of the fit.
        test_error: P(sign of the margin differs from a fresh noisy label).
        test_loss: expected loss of a fresh sample.
        alignment: the probe's cosine to the teacher.
        error_estimate: max(|change of cosine|, relative change of norm, |change of test error|)
            against a quadrature of half the nodes, the probe's own fit included; at least
            ``mass_error``.
        residual: of the equations, on the coarser quadrature.
        mass_error: relative difference between the share of all samples that the nodes keep and
            the keep fraction.
    """

    cosine: Array
    norm: Array
    test_error: Array
    test_loss: Array
    alignment: Array
    error_estimate: Array
    residual: Array
    mass_error: Array


class Unknowns(NamedTuple):
    """The unknowns of a limit by their symbols; ``chi`` is 0 but for in-sample probes."""

    a_u: Array
    a_p: Array
    tau: Array
    kappa: Array
    chi: Array


def _unpruned(kind: Kind, setting: Setting, *, samples: Array) -> Cell:
    rows = len(kind.labels)
    return Cell(
        samples,
        setting.probe_ridge,
        jnp.ones(()),
        setting.signal,
        jnp.zeros((rows, 0)),
        jnp.ones((rows, 1)),
        jnp.ones((rows, 1)),
    )


def _probe(
    kind: Kind, setting: Setting, rule: Rule, *, nodes: Nodes, patient: bool
) -> tuple[ProbeFit, Answer]:
    """The fit of a pilot or in-sample probe: all samples, no selection, logistic loss."""
    own = replace(kind, loss=LOSSES["logistic"], perfect=True)
    samples = setting.pilot_samples if rule.probe == "pilot" else setting.samples_per_feature
    cell = _unpruned(kind, setting, samples=samples)
    answer = solve_cell(own, cell, cell, nodes=nodes, patient=patient)
    state = State.unpack(answer.x)
    return ProbeFit(state.along, state.noise, state.step), answer


def limit(
    kind: Kind, setting: Setting, rule: Rule, *, nodes: Nodes, patient: bool = True
) -> tuple[Limit, Unknowns]:
    """Solve one problem.

    Args:
        kind: what is compiled in of link, loss and symmetry.
        setting: the problem's numbers; differentiable in all of them.
        rule: what is compiled in of the selection and the probe.
        nodes: resolution of Newton's method; the numbers have twice as many.
        patient: whether roots that no guess leads to are followed from a larger ridge; if not, the
            residual of such a problem is large.
    """
    before, fit = jnp.zeros(()), None
    if rule.probe != "fixed":
        probe, first = _probe(kind, setting, rule, nodes=nodes, patient=patient)
        before = jnp.max(jnp.abs(first.x - first.coarse))
        setting = setting._replace(alignment=probe.alignment)
        fit = probe if rule.probe == "in-sample" else None
    rough, fine = (
        banded_cell(kind, setting, rule, count=level.threshold, probe=fit)
        for level in (nodes, nodes.finer())
    )
    if fit is None:
        answer = solve_cell(kind, rough, fine, nodes=nodes, patient=patient)
    else:
        answer = solve_in_sample(
            kind, (rough, fine), fit, kept=rule.kept, nodes=nodes, patient=patient
        )
    return _report(kind, setting, answer, before=before)


def _report(
    kind: Kind, setting: Setting, answer: Answer, *, before: Array
) -> tuple[Limit, Unknowns]:
    law = setting.alignment, setting.signal
    found, rough = (digits(kind, *law, x) for x in (answer.x, answer.coarse))
    error = jnp.max(
        jnp.stack(
            [
                jnp.abs(found[0] - rough[0]),
                jnp.abs(found[1] / rough[1] - 1),
                jnp.abs(found[2] - rough[2]),
            ]
        )
    )
    asked = jnp.sum(setting.share * setting.keep)
    mass = jax.lax.stop_gradient(jnp.abs(answer.kept / asked - 1))
    error = jnp.maximum(error, mass) + before
    state = State.unpack(answer.x)
    shift = state.shift + 0 * state.along
    named = Unknowns(state.along, state.across, state.noise, state.step, shift)
    return Limit(*found, setting.alignment, error, answer.residual, mass), named


def digits(kind: Kind, rho: Array, scale: Array, x: Array) -> tuple[Array, Array, Array, Array]:
    """Cosine, norm, test error and test loss of a fit.

    Args:
        kind: what is compiled in.
        rho: the probe's cosine to the teacher.
        scale: teacher margin per unit of z.
        x: the unknowns.
    """
    norm, unit = direction(x)
    cosine = geometry(unit, rho).c_z
    return cosine, norm, *error_and_loss(kind.link, kind.loss, scale, cosine, norm)
