"""Rao score test of candidate columns given nuisance columns, with a permutation null, and q-values."""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincc, ndtri

from afdp_exporter.model import Floats

HARM = 0.9
"""The share of the error budget for what hurts; the rest is for what spares."""


@dataclass(frozen=True, slots=True)
class Nuisance:
    """What is explained already: an orthonormal basis (n, k) of the services' own levels and of what was accepted."""

    basis: Floats

    def residuals(self, columns: Floats) -> Floats:
        """What of columns (n,) or (n, m) is not explained."""
        return np.asarray(columns - self.basis @ (self.basis.T @ columns))

    def extended(self, columns: Floats) -> "Nuisance":
        """The span of this and of more columns (n, k)."""
        more = nuisance(self.residuals(columns))
        return Nuisance(np.hstack([self.basis, more.basis]))


def nuisance(columns: Floats) -> Nuisance:
    """The span of columns (n, k), those that add nothing left out."""
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return Nuisance(left[:, sizes > 1e-8 * max(float(sizes.max(initial=0.0)), 1.0)])


@dataclass(frozen=True, slots=True)
class ScoreTest:
    """How many standard deviations each candidate's sum lies from what chance gives, and its p (m,)."""

    z: Floats
    p: Floats


def score_test(figure: Floats, candidates: Floats, known: Nuisance) -> ScoreTest:
    """Test each candidate column (n, m) given the nuisance columns; `figure` (n,) grows where it hurts.

    The sum of the unexplained figure over a candidate's cases, against its distribution under permutation, by its
    first three moments (Pearson's type III curve), so that few cases and rare troubles are not taken for normal.
    """
    n = figure.size
    rest, columns = known.residuals(figure), known.residuals(candidates)
    energy, lean = float(rest @ rest), float((rest**3).sum())
    squares = columns * columns
    weight = squares.sum(axis=0)
    empty = (weight < 1e-9) | (energy < 1e-12)
    degrees_of_freedom = max(n - known.basis.shape[1], 2)
    spread = np.sqrt(np.where(empty, 1.0, weight) * max(energy, 1e-12) / degrees_of_freedom)
    z = np.where(empty, 0.0, columns.T @ rest / spread)
    skew = n / ((n - 1.0) * (n - 2.0)) * (columns * squares).sum(axis=0) * lean / spread**3
    return ScoreTest(z=z, p=np.where(empty, 1.0, _both_sides(z, skew)))


def _both_sides(z: Floats, skew: Floats) -> Floats:
    skew = np.clip(np.where(np.abs(skew) < 1e-4, 1e-4, skew), -4.0, 4.0)
    shape = 4.0 / skew**2  # of the gamma distribution that the curve is, moved to mean 0 and deviation 1
    at = np.maximum(shape + 2.0 * z / skew, 0.0)
    below, above = gammainc(shape, at), gammaincc(shape, at)
    upper, lower = np.where(skew > 0.0, (above, below), (below, above))
    return np.asarray(np.minimum(1.0, np.minimum(upper / HARM, lower / (1.0 - HARM))))


def q_values(p: Floats, *, dependent: bool = False) -> Floats:
    """Benjamini-Hochberg's q for each p; Benjamini-Yekutieli's where `dependent`."""
    if p.size == 0:
        return p
    order = np.argsort(p)
    ranks = np.arange(1, p.size + 1)
    stricter = float(np.sum(1.0 / ranks)) if dependent else 1.0
    scaled = np.minimum(1.0, p[order] * p.size * stricter / ranks)
    q = np.empty(p.size)
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return q


def normal_scores(figures: Floats) -> Floats:
    """Each figure's place among all (n,), as a normal deviate; those alike share theirs."""
    _, place, ties = np.unique(figures, return_inverse=True, return_counts=True)
    ranks = np.cumsum(ties) - (ties - 1) / 2.0
    return np.asarray(ndtri((ranks[place] - 0.5) / figures.size))
