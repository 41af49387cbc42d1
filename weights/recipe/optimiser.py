"""The optimiser of all stages: Muon for matrices, AdamW for other parameters.

Muon (Jordan et al. 2024) replaces the momentum of a matrix by the nearest orthogonal matrix before the step. Its step
is scaled to the size of an AdamW step (Liu et al. 2025), so both use one learning rate. It converges in fewer epochs.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def orthogonal(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Approximate the nearest semi-orthogonal matrix by Newton-Schulz iterations in bfloat16."""
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    out: torch.Tensor = (x.T if tall else x).to(matrix.dtype)
    return out


class MuonAdamW:
    """Muon and AdamW. ``state()`` is a dict of tensors by name, which is saved in a checkpoint.

    Parameters
    ----------
    model : nn.Module
        The model to train.
    decay : float
        Weight decay of matrices; vectors have no weight decay.
    muon : bool
        If False, AdamW is used for all parameters.
    plain : iterable of str
        Parts of the names of parameters that always use AdamW (embeddings, first and last layers).
    """

    def __init__(self, model: nn.Module, decay: float, muon: bool = True, plain: Iterable[str] = ()) -> None:
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.decay = decay
        self.muon = {n for n, p in self.named.items() if muon and p.ndim >= 2 and not any(part in n for part in plain)}
        self.step_count = 0
        self.first = {name: torch.zeros_like(p) for name, p in self.named.items()}
        self.second = {name: torch.zeros_like(p) for name, p in self.named.items() if name not in self.muon}

    @torch.no_grad()
    def step(self, rate: float, clip: float = 5.0) -> None:
        """Update all parameters from their gradients, and clear the gradients."""
        given = [p for p in self.named.values() if p.grad is not None]
        nn.utils.clip_grad_norm_(given, clip)
        self.step_count += 1
        for name, parameter in self.named.items():
            if parameter.grad is None:
                continue
            gradient, first = parameter.grad, self.first[name]
            if parameter.ndim >= 2:
                parameter.mul_(1 - rate * self.decay)
            if name in self.muon:
                first.lerp_(gradient, 0.05)
                ahead = gradient.lerp(first, 0.95)
                # Input channels and kernel positions of a convolution form one axis, in memory order: the order of
                # columns has no effect, and no copy is needed.
                ahead = ahead.permute(0, 2, 3, 1) if ahead.ndim == 4 else ahead
                flat = ahead.flatten(1)
                change = orthogonal(flat).view(ahead.shape)
                change = change.permute(0, 3, 1, 2) if change.ndim == 4 else change
                parameter.add_(change, alpha=-rate * 0.2 * max(flat.shape) ** 0.5)
            else:
                second = self.second[name]
                first.lerp_(gradient, 0.1)
                second.lerp_(gradient.square(), 0.02)
                root = (second / (1 - 0.98**self.step_count)).sqrt_().add_(1e-8)
                parameter.addcdiv_(first, root, value=-rate / (1 - 0.9**self.step_count))
            parameter.grad = None

    def state(self) -> dict[str, torch.Tensor]:
        return {f"first.{k}": v for k, v in self.first.items()} | {f"second.{k}": v for k, v in self.second.items()}

    def restore(self, tensors: dict[str, torch.Tensor], step_count: int) -> None:
        for name, value in self.first.items():
            value.copy_(tensors[f"first.{name}"])
        for name, value in self.second.items():
            value.copy_(tensors[f"second.{name}"])
        self.step_count = step_count
