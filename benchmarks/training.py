"""How fast a step of training is, beside Pythae's, bare PyTorch's, and its matrix products alone.

``python benchmarks/training.py`` takes a minute or two on one thread: networks 784-512-512-16 and back, batch
128, random binary images, Adam; the ELBO and the importance-weighted bound of five samples. All sides have
the same weights, and at the same noise the same gradient, which is checked first; they take turns, and
processor time counts, the median of some blocks of steps. Pythae is needed for its rows alone::

    pip install --no-deps --target /tmp/pythae pythae && PYTHONPATH=/tmp/pythae python benchmarks/training.py
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from _gpu.pieces import Seconds, binary_images, catalogue, combined, difference, flat, in_turn, training
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from lvmbench.combinations.parts import Parts, build
from lvmbench.options import Precision
from lvmbench.training.graph import as_written, faster
from lvmbench.training.learner import Learner
from lvmbench.training.loop import Training
from lvmbench.training.precision import has_fast_products, matmul_precision

CPU = torch.device("cpu")
HIDDEN, LATENT, BATCH = 512, 16, 128
CLOSE = 1e-4
"""Log weights of some hundred nats are rounded by 3e-5 in float32, and so are the shares of samples."""
SAMPLES = {"ELBO": 1, "IWAE-5": 5}
Steps = Callable[[int], object]


def method(samples: int, kl: str = "sampled") -> str:
    """The combination that is trained."""
    objective = f"elbo[kl={kl}]" if samples == 1 else f"iwae[samples={samples}]"
    return f"standard_normal gaussian bernoulli {objective} pathwise"


def parts_of(samples: int, kl: str = "sampled") -> Parts:
    """The built parts; their weights are the same each time."""
    return build(catalogue(), combined(method(samples, kl), LATENT, HIDDEN), binary_images(), seed=0)


def drawn(samples: int) -> Tensor:
    """Standard normal numbers as Pythae draws them with this seed, ``(B, K, Z)``."""
    torch.manual_seed(0)
    return torch.randn(BATCH, samples, LATENT)


def gradient(module: nn.Module, loss: Tensor) -> Tensor:
    """The gradient of a loss with regard to all weights of a module, which each side has in its own order."""
    found = torch.autograd.grad(loss, [p for p in module.parameters() if p.requires_grad])
    return flat(sorted(found, key=lambda g: (g.shape, float(g.norm()))))


class Bare(nn.Module):
    """The same model with the same weights, written out."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        model: Any = copy.deepcopy(parts.model)
        self.encoder, self.decoder = (_layers(part.network) for part in (model.posterior, model.decoder))
        self.offset = nn.Parameter(model.decoder.offset.detach())

    def loss(self, x: Tensor, epsilon: Tensor) -> Tensor:
        """The mean loss of a batch for noise ``(K, B, Z)``."""
        loc, log_scale = self.encoder(x).chunk(2, -1)
        z = loc + log_scale.exp() * epsilon
        logits = self.decoder(z) + self.offset
        distortion = binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        log_w = 0.5 * (epsilon**2 - z**2).sum(-1) + log_scale.sum(-1) - distortion
        return -(log_w.logsumexp(0) - math.log(len(log_w))).mean()


def _layers(network: Any) -> nn.Sequential:
    first, *others = network.linears
    return nn.Sequential(first, *(layer for linear in others for layer in (nn.SiLU(), linear)))


def bare(samples: int) -> Steps:
    """Steps in bare PyTorch, which choose their rows as lvmbench does."""
    model, source = Bare(parts_of(samples)), binary_images().splits["train"].x
    optimizer, rows = torch.optim.Adam(model.parameters(), fused=True), torch.arange(BATCH)

    def step() -> None:
        optimizer.zero_grad()
        model.loss(source[rows].float(), torch.randn(samples, BATCH, LATENT)).backward()
        optimizer.step()

    return partial(_repeated, step)


def peer(samples: int) -> tuple[Any, dict[str, Tensor]]:
    """Pythae's model with the same networks and weights, and a batch as it takes it."""
    from pythae.models import (  # type: ignore[import-not-found]
        IWAE,
        VAE,
        IWAEConfig,
        VAEConfig,
    )
    from pythae.models.base.base_utils import ModelOutput  # type: ignore[import-not-found]
    from pythae.models.nn import BaseDecoder, BaseEncoder  # type: ignore[import-not-found]

    ours = parts_of(samples).model

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = ours.posterior.network

        def forward(self, x: Tensor) -> Any:
            loc, log_scale = self.network(x).unbind(-2)
            return ModelOutput(embedding=loc, log_covariance=2 * log_scale)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = ours.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.body(z).logits.sigmoid())

    sizes = {"input_dim": (784,), "latent_dim": LATENT, "reconstruction_loss": "bce"}
    networks = {"encoder": Encoder(), "decoder": Decoder()}
    x = {"data": binary_images().splits["train"].x[:BATCH].float()}
    if samples == 1:
        return VAE(VAEConfig(**sizes), **networks), x
    return IWAE(IWAEConfig(**sizes, number_samples=samples), **networks), x


def pythae(samples: int) -> Steps:
    """Steps as Pythae's trainer takes them, on a batch that is at hand."""
    model, x = peer(samples)
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        loss = model(x).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return partial(_repeated, step)


def products(samples: int) -> Steps:
    """The matrix products of a step and nothing else, as torch takes them where it is told nothing."""
    model, rows = Bare(parts_of(samples)), {"encoder": BATCH, "decoder": BATCH * samples}
    taken: list[tuple[Tensor, Tensor]] = []
    for name, count in rows.items():
        for i, linear in enumerate(layer for layer in getattr(model, name) if isinstance(layer, nn.Linear)):
            weight = linear.weight.detach()
            h, g = torch.randn(count, weight.shape[1]), torch.randn(count, weight.shape[0])
            taken += [(h, weight.T), (g.T, h)]
            taken += [(g, weight)] if i or name == "decoder" else []  # images have no gradient

    def step() -> None:
        for one, other in taken:
            one @ other

    return partial(_repeated, step)


def _repeated(step: Callable[[], object], count: int) -> None:
    for _ in range(count):
        step()


def ours(samples: int, *, replayed: bool = True, own: bool = True, precision: Precision = "highest") -> Steps:
    """Steps of lvmbench, with its ``own`` products or with those that torch has by default."""
    wrap = faster(CPU, warm=3) if replayed else as_written
    combination = combined(method(samples), LATENT, HIDDEN)
    pack: Training = training(combination, 1, binary_images(), CPU, BATCH, wrap=wrap)

    def steps(count: int) -> None:
        with matmul_precision(precision, CPU, pack.product if own else 0):
            pack.steps_of(count)

    return steps


def differences(samples: int) -> dict[str, float]:
    """By how much the gradients of the others differ from that of lvmbench, relative."""
    x, epsilon = binary_images().splits["train"].x[:BATCH].float(), drawn(samples).transpose(0, 1)
    written = Bare(parts_of(samples))
    apart = {"bare PyTorch": _apart(samples, "sampled", gradient(written, written.loss(x, epsilon)))}
    try:
        model, inputs = peer(samples)
    except ImportError as error:
        print(f"Pythae is not here ({error}): its rows are left out; see the top of this file")
        return apart
    torch.manual_seed(0)
    # where there is one sample Pythae takes the divergence in closed form
    return {**apart, "Pythae": _apart(samples, "analytic", gradient(model, model(inputs).loss))}


def _apart(samples: int, kl: str, found: Tensor) -> float:
    learner = Learner(parts_of(samples, kl)).train()
    x, epsilon = binary_images().splits["train"].x[:BATCH].float(), drawn(samples).transpose(0, 1)
    surrogate, _ = learner(x, epsilon.flatten(), torch.empty(0), 1.0, True)
    return difference(found, gradient(learner, -surrogate))


def measured(samples: int) -> dict[str, Seconds]:
    """What a step takes on each side."""
    sides = {"its matrix products": products(samples), "bare PyTorch": bare(samples)}
    apart = differences(samples)
    for name, value in apart.items():
        assert value < CLOSE, f"the gradient of {name} is another: {value:.2g}"
    if "Pythae" in apart:
        sides["Pythae"] = pythae(samples)
    sides["lvmbench, as written"] = ours(samples, replayed=False)
    sides["lvmbench, products as torch's"] = ours(samples, own=False)
    sides["lvmbench"] = ours(samples)
    if has_fast_products("medium", CPU):
        sides["lvmbench, precision medium"] = ours(samples, precision="medium")
    return in_turn(sides)


def main() -> None:
    torch.set_num_threads(1)
    print("| bound | step of | ms | lvmbench is so many times as fast |\n| --- | --- | --- | --- |")
    for name, samples in SAMPLES.items():
        found = measured(samples)
        for side, seconds in found.items():
            print(f"| {name} | {side} | {seconds.text} | {seconds.median / found['lvmbench'].median:.2f} |")


if __name__ == "__main__":
    main()
