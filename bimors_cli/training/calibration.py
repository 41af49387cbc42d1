"""Temperature scaling of the logits of a head."""

from __future__ import annotations

import torch
from torch.nn import functional


def fit_temperature(logits: torch.Tensor, target: torch.Tensor) -> float:
    """Fit the temperature that minimizes the cross-entropy (Guo et al. 2017, arXiv 1706.04599).

    Parameters
    ----------
    logits : torch.Tensor
        float [N, K], of examples that are not in the training set.
    target : torch.Tensor
        int64 [N]

    Returns
    -------
    float
        The divisor of the logits, limited to 0.01..100. If all predictions are correct, the optimum is 0, and a few
        examples do not justify a confidence of 1.
    """
    logits = logits.detach().double()
    log = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(logits / log.exp(), target)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(log.detach().exp().clamp(0.01, 100.0))
