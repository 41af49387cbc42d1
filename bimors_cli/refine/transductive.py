"""Transductive refinement: the labels of all tiles of a run are refined jointly, without labelled examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import Check, check_arrays
from bimors_cli.refine.mixture import Rounds


def transductive(
    image_features: NDArray[Any], text_probabilities: NDArray[Any], check: Check | None = None
) -> NDArray[np.float32]:
    r"""Refine each tile's probabilities with the features of all tiles.

    Implements the equations of TransCLIP [1]_ and RS-TransCLIP [2]_. For tile i and class k, :math:`f_i` is the tile's
    feature of unit length, centred on the mean of all tiles, :math:`\hat y_{ik}` its text probability, :math:`z_{ik}`
    the assignment to be found, and :math:`w_{ij}` the cosine of two features, 0 where it is negative or where j is not
    one of the three nearest neighbours of i. The objective is

    .. math:: -\tau\sum_i z_i^\top \log p_i - \tfrac12\sum_{ij} w_{ij}\, z_i^\top z_j
              + \sum_i z_i^\top (\log z_i - \lambda_i \log \hat y_i)

    with :math:`p_{ik}` the density of a Gaussian with mean :math:`\mu_k` and a diagonal covariance :math:`\Sigma` that
    is shared by all classes. Assignments start at :math:`\hat y`, followed by fifteen rounds of block
    majorise-minimise:

    .. math:: \mu_k = \frac{\sum_i z_{ik} f_i}{\sum_i z_{ik} + \kappa}, \qquad
              \Sigma = \frac{1}{N + 1}\,\mathrm{diag}\Big(\sum_{ik} z_{ik}(f_i - \mu_k)(f_i - \mu_k)^\top
              + \tfrac1N \sum_i f_i f_i^\top\Big)

    .. math:: z_{ik} \propto \hat y_{ik}^{\lambda_i}
              \exp\Big(\tau \log p_{ik} + \sum_j w_{ij} z_{jk}\Big)

    Seven details differ from the papers, so that the probabilities of a scene without structure stay close to the
    per-tile ones. None of them tests for special cases.

    - Features are centred, so that two unrelated tiles have a cosine near 0 and not near 0.8. For the cosines the
      centre is the mean over classes of their text-weighted means: otherwise, in a scene that is nearly all forest, all
      other tiles would be neighbours of each other.
    - Means are shrunk towards the mean of all tiles by empirical Bayes [3]_: :math:`\kappa` is the variance within
      classes over the variance between them, the latter minus the part expected by chance for so few tiles. With one
      class, or few tiles, little remains between the classes, :math:`\kappa` is large and all means coincide. It is at
      least 1, so that an empty class also has a mean.
    - :math:`\tau = 0.08\, d / D`. A diagonal covariance counts correlated features as independent, so d is the number
      of independent ones, :math:`D^2 / \sum_{ab} r_{ab}^2` with the correlations r of the features within classes;
      it is small for few tiles. The factor 0.08 tempers the likelihood, as is usual where classes are not Gaussian
      [4]_: without it every assignment is hard after one round, right or wrong.
    - :math:`\lambda_i = 1 - 0.6 \sum_k \hat y_{ik}\, m_k / (m_k + \kappa)` with :math:`m_k = \sum_i z_{ik}`. Text and
      mixture use the same features and would be counted twice, so the text has a lower weight where its class has a
      well-determined mean and full weight where it has not: a single tile keeps its text probabilities, and a rare
      class is not suppressed.
    - The other tiles have a weight w of 0 to 1, which depends on how much information their features contain beyond the
      text probabilities (`bimors_cli.refine.mixture.neighbour_weight`): in the last formula the exponent, and the 0.6
      in :math:`\lambda_i`, are multiplied by it. For a CLIP that was trained on the same classes it is near 0: there
      the nearest neighbours share their errors.
    - There are no class weights, as in the papers: a rare class is not at a disadvantage.
    - Where features are poor or the text is uncertain, tempering leaves the confidence below the accuracy. A last step
      raises all probabilities to one power, learned from the agreement of text and mixture, see
      `bimors_cli.refine.calibrate`.

    The result is deterministic and does not depend on the order of the tiles, up to rounding and ties between
    neighbours. Features are read in blocks, about twenty times; besides them and the result, memory is a few values per
    tile (neighbours, and 128 principal components to find them). Above 40,000 tiles the neighbour search is
    approximate.

    Parameters
    ----------
    image_features : ndarray
        [N, D], any float, of any length. A memory map is read in blocks, never as a whole.
    text_probabilities : ndarray
        [N, K], any float, 0..1, each row sums to 1: the per-tile probabilities of any head.
    check : callable, optional
        Called before each block of features is read; it may raise to stop.

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1.

    Raises
    ------
    ValueError
        The shapes do not match, a value is not finite, or a row does not sum to 1.

    References
    ----------
    .. [1] Zanella, Gérin, Ben Ayed, Boosting Vision-Language Models with Transduction, NeurIPS 2024, arXiv:2406.01837.
    .. [2] El Khoury et al., Enhancing Remote Sensing Vision-Language Models for Zero-Shot Scene Classification,
       ICASSP 2025, arXiv:2409.00698.
    .. [3] Efron, Morris, Stein's estimation rule and its competitors, JASA 68, 1973.
    .. [4] Miller, Dunson, Robust Bayesian inference via coarsening, JASA 114, 2019.
    """
    rows, text = np.asanyarray(image_features), np.asanyarray(text_probabilities)
    check_arrays(rows, text)
    if not len(rows):
        return np.zeros(text.shape, np.float32)
    return Rounds(rows, text, check=check).run()
