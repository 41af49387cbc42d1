"""Label all tiles of a run together: tiles that look alike help to label each other, without one labelled example."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import check
from bimors_cli.refine.mixture import Rounds


def transductive(image_features: NDArray[Any], text_probabilities: NDArray[Any]) -> NDArray[np.float32]:
    r"""Refine each tile's probabilities by the features of all tiles.

    Written from the equations of TransCLIP [1]_ and RS-TransCLIP [2]_. For tile i and class k, :math:`f_i` is the
    tile's feature of unit length with the mean of all tiles taken off, :math:`\hat y_{ik}` its text probability,
    :math:`z_{ik}` the assignment sought, :math:`w_{ij}` the cosine of two features, 0 where it is negative or where j
    is not one of the three nearest neighbours of i. The objective is

    .. math:: -\tau\sum_i z_i^\top \log p_i - \tfrac12\sum_{ij} w_{ij}\, z_i^\top z_j
              + \sum_i z_i^\top (\log z_i - \lambda_i \log \hat y_i)

    with :math:`p_{ik}` the density of a Gaussian with mean :math:`\mu_k` and a diagonal covariance :math:`\Sigma` that
    all classes share. Assignments start at :math:`\hat y`; fifteen rounds of block majorise-minimise follow, each of

    .. math:: \mu_k = \frac{\sum_i z_{ik} f_i}{\sum_i z_{ik} + \kappa}, \qquad
              \Sigma = \frac{1}{N + 1}\,\mathrm{diag}\Big(\sum_{ik} z_{ik}(f_i - \mu_k)(f_i - \mu_k)^\top
              + \tfrac1N \sum_i f_i f_i^\top\Big)

    .. math:: z_{ik} \propto \hat y_{ik}^{\lambda_i}
              \exp\Big(\tau \log p_{ik} + \sum_j w_{ij} z_{jk}\Big)

    Seven things differ from the papers, so that a scene without structure gets the per-tile answer and not an invented
    one. None looks at which case is at hand.

    - Features are centred, so that two unrelated tiles have a cosine near 0 and not near 0.8. For the cosines the
      centre is the mean over classes of their text-weighted means: a scene that is nearly all forest would otherwise
      make neighbours of all that is not.
    - Means are shrunk to the mean of all tiles by empirical Bayes [3]_: :math:`\kappa` is the variance within classes
      over the variance between them, the latter less what chance alone makes of so few tiles. With one class, or few
      tiles, little is left between the classes, :math:`\kappa` is large and all means are one. It is at least 1, so
      that a class nobody belongs to has a mean as well.
    - :math:`\tau = 0.08\, d / D`. A diagonal covariance counts correlated features as independent, so d is the number
      of independent ones, :math:`D^2 / \sum_{ab} r_{ab}^2` with the correlations r of the features within classes;
      it is small for few tiles by itself. The 0.08 tempers the likelihood, as one does where classes are not
      Gaussian [4]_: without it every assignment is hard within a round, right or wrong.
    - :math:`\lambda_i = 1 - 0.6 \sum_k \hat y_{ik}\, m_k / (m_k + \kappa)` with :math:`m_k = \sum_i z_{ik}`. Text and
      mixture read the same features and would be counted twice, so the text counts for less where it names a class
      whose mean is known, and for itself where it is not: one tile alone keeps its text probabilities, and a rare class
      is not talked over.
    - The other tiles are heard with a weight w of 0 to 1, by how much their features tell that the text does not read
      (`bimors_cli.refine.mixture.neighbour_weight`): in the last formula the exponent, and the 0.6 in
      :math:`\lambda_i`, are multiplied by it. For a CLIP that learned the very classes it is near 0: there look-alikes
      share mistakes.
    - There are no class weights, as in the papers: a rare class is not at a disadvantage.
    - Where features are poor or the text unsure, tempering leaves assignments less sure than they are right. A last
      step raises all to one power learned from how far text and mixture agree, see `bimors_cli.refine.calibrate`.

    Nothing is drawn at random, and the order of the tiles does not matter, up to rounding and ties between neighbours.
    Features are read in blocks, about twenty times over; beyond them and the answer, memory is a few numbers a tile
    (neighbours, and 128 principal directions to find them by). Beyond 40,000 tiles the search for neighbours is
    approximate.

    Parameters
    ----------
    image_features : ndarray
        [N, D], any float; of any length. A memory map is read in blocks and never as a whole.
    text_probabilities : ndarray
        [N, K], any float, 0..1, each row sums to 1: the per-tile answer of any head.

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1.

    Raises
    ------
    ValueError
        The shapes do not fit each other, a number is not finite, or a row is not one of probabilities.

    References
    ----------
    .. [1] Zanella, Gérin, Ben Ayed, Boosting Vision-Language Models with Transduction, NeurIPS 2024, arXiv:2406.01837.
    .. [2] El Khoury et al., Enhancing Remote Sensing Vision-Language Models for Zero-Shot Scene Classification,
       ICASSP 2025, arXiv:2409.00698.
    .. [3] Efron, Morris, Stein's estimation rule and its competitors, JASA 68, 1973.
    .. [4] Miller, Dunson, Robust Bayesian inference via coarsening, JASA 114, 2019.
    """
    rows, text = np.asanyarray(image_features), np.asanyarray(text_probabilities)
    check(rows, text)
    if not len(rows):
        return np.zeros(text.shape, np.float32)
    return Rounds(rows, text).run()
