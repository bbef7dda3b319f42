"""Adam as BERT was published with: its moments start at zero and nothing corrects for it.

Source: `AdamWeightDecayOptimizer` in https://github.com/google-research/bert. The first updates are too large, most of
all on data so small that the training is mostly first updates: Zhang et al. 2021, https://arxiv.org/abs/2006.05987, and
Mosbach et al. 2021, https://arxiv.org/abs/2006.04884. It is here to be compared with.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.optimizer import Optimizer, ParamsT


class BertAdam(Optimizer):
    """AdamW without bias correction: p <- p - lr (m / (sqrt(v) + eps) + weight_decay p)."""

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # torch's may compute the loss anew
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _update(parameter, parameter.grad, self.state[parameter], group)


def _update(parameter: torch.Tensor, gradient: torch.Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state["exp_avg"] = torch.zeros_like(parameter)
        state["exp_avg_sq"] = torch.zeros_like(parameter)
    beta1, beta2 = group["betas"]
    mean = state["exp_avg"].lerp_(gradient, 1 - beta1)
    square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.addcdiv_(mean, square.sqrt().add_(group["eps"]), value=-group["lr"])
