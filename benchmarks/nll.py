"""How fast log p(x) is estimated, beside Pythae's ``get_nll`` and beside the decoder's matrix products alone.

``python benchmarks/nll.py`` takes one thread, networks 784-512-512-16 and back, and 1,000 samples for each of
500 points, and prints processor seconds. Both sides have the same weights. The products are taken by the
kernels that torch chooses by itself, as Pythae's are, and by those that lvmbench measures with. Pythae is
needed for this file alone::

    pip install --no-deps --target /tmp/pythae pythae && PYTHONPATH=/tmp/pythae python benchmarks/nll.py

``python benchmarks/nll.py memory`` estimates 10,000 points with 5,000 samples each and prints how far the
process grew; the decoder is small there, 784-64-16, since its width bears on time and not on what is kept.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lvmbench import Data, DataSummary, LatentVariableModel, Split, Subject
from lvmbench.execution.measuring import figures
from lvmbench.options import Precision
from lvmbench.training.memory import keep_freed_memory
from lvmbench.training.precision import has_fast_products, matmul_precision
from lvmbench_plugins.decoders.bernoulli import BernoulliDecoder
from lvmbench_plugins.evaluators.tightness import Tightness
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.gaussian import Gaussian
from lvmbench_plugins.priors.standard_normal import StandardNormal

CPU = torch.device("cpu")
PIXELS, HIDDEN, LATENT, POINTS, SAMPLES = 784, 512, 16, 500, 1000


def subject(points: int, hidden: int, layers: int = 2) -> Subject:
    """An untrained model and random binary images."""
    torch.manual_seed(0)
    summary = DataSummary((PIXELS,), "binary", torch.full((PIXELS,), 0.3))
    prior = StandardNormal(summary, LATENT)
    posterior = Gaussian(summary, prior.space, hidden=hidden, layers=layers)
    decoder = BernoulliDecoder(summary, prior.space, hidden=hidden, layers=layers)
    x = (torch.rand(points, PIXELS) < 0.3).to(torch.uint8)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "binary", "random numbers")
    return Subject(LatentVariableModel(prior, posterior, decoder).eval(), Elbo(), {}, data, seed=0)


def estimate(subject: Subject, samples: int, precision: Precision = "highest") -> float:
    """log p(x), mean over data; the bound is drawn twice only."""
    found, _ = figures(Tightness(samples=samples, repeats=2, precision=precision), subject)
    return next(m.value for m in found if m.metric == "log_likelihood")


@torch.no_grad()
def products(subject: Subject) -> None:
    """The decoder's matrix products for as many pairs of z and x, and nothing else."""
    weights = [linear.weight.T for linear in subject.model.decoder.network.linears]  # type: ignore[union-attr]
    z = torch.randn(1000, LATENT)
    for _ in range(POINTS * SAMPLES // len(z)):
        h = z
        for weight in weights:
            h = h @ weight


def peer(subject: Subject) -> Any:
    """Pythae's model with the same weights; its layers have the same activation here as ours."""
    from pythae.models import VAE, VAEConfig  # type: ignore[import-not-found]
    from pythae.models.base.base_utils import ModelOutput  # type: ignore[import-not-found]
    from pythae.models.nn import BaseDecoder, BaseEncoder  # type: ignore[import-not-found]

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = subject.model.posterior.network

        def forward(self, x: Tensor) -> Any:
            loc, log_scale = self.network(x.flatten(1)).unbind(-2)
            return ModelOutput(embedding=loc, log_covariance=2 * log_scale)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = subject.model.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.body(z).logits.sigmoid())

    config = VAEConfig(input_dim=(PIXELS,), latent_dim=LATENT, reconstruction_loss="bce")
    model: nn.Module = VAE(config, encoder=Encoder(), decoder=Decoder()).eval()
    return model


def seconds(action: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def speed() -> None:
    ours = subject(POINTS, HIDDEN)
    theirs = pythae(ours)
    keep_freed_memory()  # as a worker does: Pythae is tried as it comes, and so
    theirs |= {f"{name}, freed memory kept": found for name, found in pythae(ours).items()}
    estimate(ours, 10)
    with matmul_precision("highest", CPU):
        fast, _ = seconds(lambda: products(ours))
    slow, _ = seconds(lambda: products(ours))
    spent, value = seconds(lambda: estimate(ours, SAMPLES))
    rows = {
        "matrix products alone, as torch has them": (slow, None),
        "matrix products alone, as lvmbench has them": (fast, None),
        "tightness": (spent, value),
        **theirs,
    }
    if has_fast_products("medium", CPU):
        rows["tightness[precision=medium]"] = seconds(lambda: estimate(ours, SAMPLES, "medium"))
    print("| | s | tightness is so many times as fast | log p(x) |\n| --- | --- | --- | --- |")
    for name, (taken, found) in rows.items():
        print(f"| {name} | {taken:.1f} | {taken / spent:.2f} | {'' if found is None else f'{found:.3f}'} |")


def pythae(ours: Subject) -> dict[str, tuple[float, float]]:
    """Seconds and log p(x) of Pythae, in batches as it has them and larger ones."""
    try:
        model = peer(ours)
    except ImportError as error:
        print(f"Pythae is not here ({error}): its part is left out; see the top of this file")
        return {}
    found = {}
    for graph, batch in ((True, 100), (False, 100), (False, 1000)):
        # get_nll gives the mean log-likelihood itself, whatever its name says, and keeps a graph unless it is
        # called without
        with torch.set_grad_enabled(graph):
            get = partial(model.get_nll, ours.x, n_samples=SAMPLES, batch_size=batch)
            found[f"Pythae, {'' if graph else 'no graph, '}batches of {batch}"] = seconds(get)
    return found


def memory() -> None:
    ours = subject(10_000, 64, layers=1)
    estimate(ours, 10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent, _ = seconds(lambda: estimate(ours, 5000))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"10,000 points x 5,000 samples: the process grew by {grown:.0f} MiB in {spent:.0f} s")


if __name__ == "__main__":
    torch.set_num_threads(1)
    memory() if sys.argv[1:] == ["memory"] else speed()
