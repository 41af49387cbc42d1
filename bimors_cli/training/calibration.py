"""The temperature that makes a head's answers probabilities."""

from __future__ import annotations

import torch
from torch.nn import functional


def fit_temperature(logits: torch.Tensor, target: torch.Tensor) -> float:
    """Find the temperature that makes the true answers most likely (Guo et al. 2017, arXiv 1706.04599).

    Parameters
    ----------
    logits : torch.Tensor
        float [N, K], of examples that the head was not trained on.
    target : torch.Tensor
        int64 [N]

    Returns
    -------
    float
        What the logits are to be divided by, between 0.01 and 100: where every answer is right, ever colder would be
        ever likelier, and no confidence of 1 is earned by a few examples.
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
