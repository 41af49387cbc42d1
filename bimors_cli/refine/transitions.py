"""The answers for two dates taken together: how often each class became each other, and what became of each tile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import check_probabilities

Array = NDArray[np.float64]

# Probabilities are stored with six decimals: one that was rounded to 0 is at most half of the last.
FLOOR: Final = 5e-7
# As if so many more tiles of each class had been seen that did not change. Without them the likelihood of few tiles is
# highest where each doubtful pair of answers has a transition of its own. And as if one more tile had changed, in any
# way: what was not seen is not impossible.
_UNCHANGED: Final = 1.0
_CHANGED: Final = 1.0
# Answers of two dates that differ less than these correlated ones are taken to differ so much: a small difference is no
# proof of a change. Measured without change on errors with heavy tails (Student's t, 3 degrees of freedom, correlation
# 0.95): 0.1 to 1.4 % are called changed with this limit.
_MOST_SHARED: Final = 0.9
# So many probabilities of evenly spread tiles are enough to fit the model: 100,000 tiles of ten classes.
_FITTED_ON: Final = 1_000_000
_FITS, _ROUNDS, _LAST_ROUNDS = 10, 60, 300
# Change of the correlation, and mean gain of the log likelihood of a tile, at which the iterations end.
_SAME_CORRELATION: Final = 0.005
_SAME_LIKELIHOOD: Final = 1e-7


@dataclass(frozen=True)
class Transitions:
    r"""How often each of K classes became each other, and how the errors of the answers for two dates go together.

    Let :math:`l_A(a) = p_A(a) / \pi_A(a)` be the likelihood of class a before, with the answer :math:`p_A` for a tile
    and the class frequencies :math:`\pi_A` that it assumes, and :math:`l_B` that of a class after. A tile that looks
    unlike its class looks so at both dates: the errors are not independent. With classes that are normally distributed
    around their means with one covariance, and a correlation :math:`\rho` of the deviations at the two dates,

    .. math:: P(a, b \mid x) \propto T(a, b)\,
              \exp\frac{\log l_A(a) - \rho \log l_B(a) + \log l_B(b) - \rho \log l_A(b) - \rho D(a, b)}{1 - \rho^2}

    with :math:`T` the frequencies of transitions, and :math:`D(a, b)` the mean of :math:`\log l(a) - \log l(b)` of
    tiles of class a. For :math:`\rho = 0` it is the compound classification of [1]_ and [2]_.

    Attributes
    ----------
    frequency : float64 array [K, K]
        T: rows are the classes before, columns those after. Sums to 1.
    shared : float
        :math:`\rho`, 0..1.
    separation : float64 array [K, K]
        D, symmetric, 0 on the diagonal.
    before, after : float64 array [K]
        The class frequencies that the answers for either date assume.

    References
    ----------
    .. [1] Swain, Bayesian classification in a time-varying environment, IEEE Transactions on Systems, Man, and
       Cybernetics 8, 1978.
    .. [2] Bruzzone, Serpico, An iterative technique for the detection of land-cover transitions in multitemporal
       remote-sensing images, IEEE Transactions on Geoscience and Remote Sensing 35, 1997.
    """

    frequency: Array
    shared: float
    separation: Array
    before: Array
    after: Array
    _weights: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        weights = self.frequency * _penalty(self.shared, self.separation)
        object.__setattr__(self, "_weights", np.maximum(weights, np.finfo(float).tiny))

    def independent(self) -> Transitions:
        """Return the model of answers without shared errors, such as labels that somebody corrected."""
        return replace(self, shared=0.0)

    def pairs(self, before: NDArray[Any], after: NDArray[Any]) -> Pairs:
        """Return what became of n tiles, from the probabilities [n, K] of their classes before and after."""
        first, second = _evidence(_logs(before, self.before), _logs(after, self.after), self.shared)
        total = ((first @ self._weights) * second).sum(axis=1)
        return Pairs(first, second / total[:, None], self._weights)


@dataclass(frozen=True)
class Pairs:
    """The probabilities of the pairs of classes of n tiles: p[i, a, b] = before[i, a] weights[a, b] after[i, b].

    Attributes
    ----------
    before, after : float64 array [n, K]
    weights : float64 array [K, K]
    """

    before: Array
    after: Array
    weights: Array

    def change(self) -> Array:
        """Return the probability [n] that the class changed."""
        same = (self.before * self.after * np.diag(self.weights)).sum(axis=1)
        found: Array = np.clip(1 - same, 0, 1)
        return found

    def totals(self, sizes: NDArray[Any]) -> Array:
        """Return the expected size of each transition [K, K] of tiles with these sizes [n]."""
        found: Array = self.weights * (self.before.T @ (self.after * sizes[:, None]))
        return found

    def likeliest_change(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the most probable classes before [n] and after [n] among those that differ."""
        return self._likeliest(np.where(np.eye(len(self.weights), dtype=bool), 0.0, self.weights))

    def likeliest_class(self) -> NDArray[np.intp]:
        """Return the most probable class [n] of tiles that did not change."""
        found: NDArray[np.intp] = (self.before * self.after * np.diag(self.weights)).argmax(axis=1)
        return found

    def _likeliest(self, weights: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        count = len(self.before)
        best, first, second = np.full(count, -1.0), np.zeros(count, np.intp), np.zeros(count, np.intp)
        for row in range(len(weights)):
            values = self.after * weights[row]
            column = values.argmax(axis=1)
            value = self.before[:, row] * values[np.arange(count), column]
            better = value > best
            best[better], first[better], second[better] = value[better], row, column[better]
        return first, second


def fitting_rows(count: int, classes: int) -> slice:
    """Return which of many tiles are enough for `fit_transitions`: evenly spread ones, see `_FITTED_ON`."""
    return slice(None, None, max(1, -(-count * classes // _FITTED_ON)))


def fit_transitions(
    before: NDArray[Any],
    after: NDArray[Any],
    frequency_before: NDArray[Any] | None = None,
    frequency_after: NDArray[Any] | None = None,
) -> Transitions:
    """Fit the frequencies of transitions and the correlation of the errors to the answers for N tiles at two dates.

    The frequencies have the highest posterior probability (EM, with a Dirichlet prior, see `_UNCHANGED`); the
    correlation is that of the centred log likelihoods around their means by class. Both in turn, until nothing moves.
    Exchanging the dates transposes the frequencies.

    Parameters
    ----------
    before, after : ndarray
        [N, K], any float, 0..1, each row sums to 1: calibrated probabilities of the same classes. Of many tiles
        `fitting_rows` are enough.
    frequency_before, frequency_after : ndarray, optional
        [K], above 0: the class frequencies that the answers assume. By default all equal.

    Raises
    ------
    ValueError
        The shapes do not match, there is no tile, a value is not finite, or a row does not sum to 1.
    """
    if before.shape != after.shape or not len(before):
        raise ValueError(f"probabilities {before.shape} before and {after.shape} after must be of the same tiles")
    count = before.shape[1]
    for values in (before, after):
        check_probabilities(values)
    known = [
        np.full(count, 1 / count) if given is None else np.asarray(given, np.float64)
        for given in (frequency_before, frequency_after)
    ]
    if any(one.shape != (count,) or not (one > 0).all() for one in known):
        raise ValueError(f"class frequencies must be {count} numbers above 0")
    logs = _logs(before, known[0]), _logs(after, known[1])
    shared, separation = 0.0, np.zeros((count, count))
    frequency = (0.9 * np.eye(count) + 0.1 / count) / count
    for _ in range(_FITS):
        frequency, pairs = _fit_frequency(logs, frequency, shared, separation, _ROUNDS)
        found, separation = _errors(logs, pairs)
        moved, shared = abs(found - shared), found
        if moved < _SAME_CORRELATION:
            break
    frequency, _ = _fit_frequency(logs, frequency, shared, separation, _LAST_ROUNDS)
    return Transitions(frequency, shared, separation, *known)


def _fit_frequency(
    logs: tuple[Array, Array], frequency: Array, shared: float, separation: Array, rounds: int
) -> tuple[Array, Pairs]:
    """Return the frequencies [K, K], and the pairs of classes of the tiles that they follow from."""
    first, second = _evidence(*logs, shared)
    count, penalty, before = len(frequency), _penalty(shared, separation), -np.inf
    prior = np.where(np.eye(count, dtype=bool), _UNCHANGED, _CHANGED / max(1, count * (count - 1)))
    for _ in range(rounds):
        weights = np.maximum(frequency * penalty, np.finfo(float).tiny)
        total = ((first @ weights) * second).sum(axis=1)
        pairs = Pairs(first, second / total[:, None], weights)
        counts = weights * (first.T @ pairs.after) + prior
        frequency, likelihood = counts / counts.sum(), float(np.log(total).mean())
        if likelihood - before < _SAME_LIKELIHOOD:
            break
        before = likelihood
    return frequency, pairs


def _errors(logs: tuple[Array, Array], pairs: Pairs) -> tuple[float, Array]:
    """Return the correlation of the deviations of the answers from the means of their classes, and the separation."""
    of_first = pairs.before * (pairs.after @ pairs.weights.T)
    of_second = pairs.after * (pairs.before @ pairs.weights)
    counts = pairs.totals(np.ones(len(of_first)))
    centred = [one - one.mean(axis=1, keepdims=True) for one in logs]
    means, variances, separation = [], [], np.zeros_like(counts)
    for values, raw, classes in zip(centred, logs, (of_first, of_second), strict=True):
        size = np.maximum(classes.sum(axis=0), np.finfo(float).tiny)[:, None]
        mean = classes.T @ values / size
        means.append(mean)
        variances.append(
            (values**2).sum() - 2 * (classes @ mean * values).sum() + (size[:, 0] * (mean**2).sum(axis=1)).sum()
        )
        of_class = classes.T @ raw / size
        difference = np.diag(of_class)[:, None] - of_class
        separation += (difference + difference.T) / 4
    cross = (
        (centred[0] * centred[1]).sum()
        - (of_first @ means[0] * centred[1]).sum()
        - (of_second @ means[1] * centred[0]).sum()
        + (counts * (means[0] @ means[1].T)).sum()
    )
    spread = np.sqrt(max(variances[0], 0.0) * max(variances[1], 0.0))
    # Answers that do not vary within their classes have no errors to share.
    shared = float(np.clip(cross / spread, 0, _MOST_SHARED)) if spread > 1e-9 * len(of_first) else 0.0
    return shared, np.maximum(separation, 0)


def _logs(probabilities: NDArray[Any], frequency: Array) -> Array:
    found: Array = np.log(np.maximum(np.asarray(probabilities, np.float64), FLOOR) / frequency)
    return found


def _evidence(before: Array, after: Array, shared: float) -> tuple[Array, Array]:
    """Return the factors of the pairs of classes that depend on the one before, and on the one after, [n, K] each."""
    found = []
    for own, other in ((before, after), (after, before)):
        logs = (own - shared * other) / (1 - shared**2)
        found.append(np.exp(logs - logs.max(axis=1, keepdims=True)))
    return found[0], found[1]


def _penalty(shared: float, separation: Array) -> Array:
    found: Array = np.exp(-shared * separation / (1 - shared**2))
    return found
