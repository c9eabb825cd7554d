"""A training loop for the networks: seeded weights, Adam, a rate that falls to nothing, averaged weights, checkpoints.

The state of a training is one file of its workspace, so that the same call goes on where another was stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.training.workspace import Workspace

if TYPE_CHECKING:
    import torch

    from auparity.accelerated.torch.network_layers import TorchLayers

Array = npt.NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]

CHECKPOINT_SECONDS = 120.0
#: Share that averaged weights keep of themselves at each step.
AVERAGED = 0.998
STATISTICS = ("running_mean", "running_var")
WARM_UP = 200  #: steps in which the rate rises
#: Share of the steps that compute layers in bfloat16, twice as fast where the processor has instructions for it; what
#: it rounds away matters only at the end, when the rate is small.
COARSE = 0.88


def first_weights(shapes: Shapes, seed: int) -> dict[str, Array]:
    """Random weights (He, Zhang, Ren, Sun, ICCV 2015): norms do nothing yet, biases are 0."""
    rng = np.random.default_rng([71, seed])
    weights: dict[str, Array] = {}
    for name, shape in shapes.items():
        if name.endswith(("running_var", "weight")) and len(shape) == 1:
            values = np.full(shape, 0.25 if "prelu" in name else 1.0)
        elif name.endswith("weight"):
            values = rng.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
        else:
            values = np.zeros(shape)
        weights[name] = values.astype(np.float32)
    return weights


class Trainer:
    """One network being trained.

    Parameters
    ----------
    workspace, name : where its state is kept, and under which name.
    weights : to begin with.
    fixed : names that are not learned.
    steps : of the whole training.
    rate : the largest.
    """

    def __init__(
        self, workspace: Workspace, name: str, weights: Mapping[str, Array], steps: int, rate: float,
        fixed: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        import torch

        self.workspace, self.name, self.steps, self._rate = workspace, name, steps, rate
        self.weights = {key: torch.tensor(values) for key, values in weights.items()}
        self._learned = [key for key in weights if not key.endswith(STATISTICS) and key not in fixed]
        for key in self._learned:
            self.weights[key].requires_grad_(True)
        self._moments = {key: (torch.zeros(v.shape), torch.zeros(v.shape)) for key, v in self.weights.items()}
        self.averaged = {key: values.detach().clone() for key, values in self.weights.items()}
        self.step = 0
        if workspace.has(f"{name}_state"):
            self._restore()

    def _restore(self) -> None:
        import torch

        stored = self.workspace.load(f"{self.name}_state")
        with torch.no_grad():
            for key, values in self.weights.items():
                values.copy_(torch.from_numpy(stored[f"w:{key}"]))
                self.averaged[key].copy_(torch.from_numpy(stored[f"a:{key}"]))
                for k, moment in enumerate(self._moments[key]):
                    moment.copy_(torch.from_numpy(stored[f"m{k}:{key}"]))
        self.step = int(stored["step"])

    def precision(self) -> AbstractContextManager[Any]:
        """The context in which this step computes its layers; losses are computed outside, in float32."""
        import torch

        return torch.autocast("cpu", torch.bfloat16, enabled=self.step < COARSE * self.steps)

    def save(self) -> None:
        """Write the state."""
        arrays = {f"w:{key}": values.detach().numpy() for key, values in self.weights.items()}
        arrays |= {f"a:{key}": values.numpy() for key, values in self.averaged.items()}
        for key, moments in self._moments.items():
            arrays |= {f"m{k}:{key}": moment.numpy() for k, moment in enumerate(moments)}
        self.workspace.save(f"{self.name}_state", step=np.array(self.step), **arrays)

    def run(
        self, batch: Callable[[np.random.Generator], Any], loss_of: Callable[[TorchLayers, Any], torch.Tensor],
        seconds: float = math.inf,
    ) -> bool:  # fmt: skip
        """Train on batches until the end or for so long, one step at least; whether the end was reached.

        Parameters
        ----------
        batch : makes the arrays of a step from a generator that is the step's own.
        loss_of : the loss of a batch, with layers that learn.
        """
        from auparity.accelerated.torch.network_layers import TorchLayers

        layers = TorchLayers(self.weights, training=True)
        begun = saved = time.monotonic()
        recent: list[float] = []
        while self.step < self.steps:
            loss = loss_of(layers, batch(np.random.default_rng([72, len(self.name), self.step])))
            loss.backward()
            self._update()
            recent.append(float(loss.detach()))
            self.step += 1
            if self.step % 100 == 0 or self.step == self.steps:
                self.workspace.log(f"{self.name}: step {self.step} of {self.steps}, loss {np.mean(recent):.4f}")
                recent.clear()
            if time.monotonic() - begun > seconds:
                break
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.step >= self.steps

    def _update(self) -> None:
        """Adam (Kingma, Ba, ICLR 2015), gradients cut to a norm of 5; then the average."""
        import torch

        rate = self._rate * min(1.0, (self.step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        first, second, k = 0.9, 0.999, self.step + 1
        gradients = {key: self.weights[key].grad for key in self._learned}
        norm = math.sqrt(sum(float((g * g).sum()) for g in gradients.values() if g is not None))
        factor = min(1.0, 5.0 / (norm + 1e-12))
        keep = min(AVERAGED, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for key, gradient in gradients.items():
                if gradient is None:
                    continue
                one, two = self._moments[key]
                gradient.mul_(factor)
                one.lerp_(gradient, 1 - first)
                two.mul_(second).addcmul_(gradient, gradient, value=1 - second)
                size = (two / (1 - second**k)).sqrt_().add_(1e-8)
                self.weights[key].addcdiv_(one, size, value=-rate / (1 - first**k))
                self.weights[key].grad = None
            for key, values in self.weights.items():
                self.averaged[key].lerp_(values, 1 - keep)

    def result(self) -> dict[str, Array]:
        """The averaged weights."""
        return {key: values.numpy().copy() for key, values in self.averaged.items()}
