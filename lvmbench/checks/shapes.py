"""Checks of parts: shapes, types, devices and state."""

from __future__ import annotations

import copy
import itertools
from contextlib import suppress

import torch
from safetensors.torch import load, save
from torch import Tensor

from lvmbench.checks.contract import BUILT, MODEL_PARTS, Skip, Violation, contract, require
from lvmbench.checks.specimen import Specimen, Trial
from lvmbench.distributions.base import family_name
from lvmbench.errors import Refusal
from lvmbench.kernels.eager import eager
from lvmbench.noise import Noise, Stream
from lvmbench.training.learner import kept, put_back

SIZES = tuple(itertools.product((1, 3), (1, 7)))
"""Numbers of samples and of data that shapes are checked for."""
OF_DENSITIES = (
    "sampled_density_is_log_prob",
    "components_share_each_value",
    "strata_make_up_the_whole",
    "density_integrates_to_one",
    "samples_follow_the_density",
    "own_densities_weigh_a_box",
    "density_gradient_agrees_with_differences",
    "kl_is_the_average_log_ratio",
    "registered_posterior_is_exact",
    "vectorised_equals_looped",
    "works_with_every_partner",
    "training_improves_the_bound",
)
OF_SAMPLES = (
    "samples_are_independent",
    "mean_is_the_average_of_samples",
    "sample_gradient_agrees_with_differences",
    "batch_rows_are_independent",
    *OF_DENSITIES,
)
OF_BOUNDS = (
    "batch_rows_are_independent",
    "kl_weight_is_taken",
    "lower_bound_stays_below_log_p",
    "evidence_is_unbiased",
    "additive_is_true",
    "equal_weights_give_their_value",
    "bound_is_of_its_terms",
    "bound_gradient_agrees_with_differences",
    "reported_bound_is_the_objectives",
    "unbiased_gradient_averages_to_the_exact_one",
    "training_improves_a_toy",
    "vectorised_equals_looped",
    "works_with_every_partner",
)
"""The checks that a component fails, too, where densities, samples or bounds have other shapes."""


@contract(
    *MODEL_PARTS,
    due="A call returns the distribution class that is declared.",
    read="distributions.base.Distribution",
    explains=("works_with_every_partner", *OF_SAMPLES),
)
def distribution_is_the_declared_one(specimen: Specimen) -> None:
    trial = specimen.trial()
    model = trial.parts.model
    known = {"prior": model.prior_distribution, "posterior": model.posterior_distribution}
    declared = known.get(specimen.kind, trial.component.distribution)
    found = trial.call().family
    name = family_name(declared) if declared else "none"
    require(
        found == declared, f"it returns {family_name(found)}, declared is {name}", "set distribution to that"
    )


@contract(
    *MODEL_PARTS,
    due="Samples are (K, *batch, *event) and their log densities (K, *batch), for any K and B.",
    read="distributions.base.Distribution.sample_and_log_prob",
    explains=OF_SAMPLES,
)
def samples_have_their_shapes(specimen: Specimen) -> None:
    for samples, batch in SIZES:
        trial = specimen.trial(samples=samples, batch=batch)
        value, log_prob = trial.call().sample_and_log_prob(trial.noise(), samples)
        _expect("the sample", value, (samples, *trial.lead, *trial.event_shape))
        _expect("its log density", log_prob, (samples, *trial.lead))
        require(bool(log_prob.isfinite().all()), "a log density of its own samples is not finite")


@contract(
    *MODEL_PARTS,
    due="The log density of (..., *batch, *event) is (..., *batch), and finite within the support.",
    read="distributions.base.Distribution.log_prob",
    explains=OF_DENSITIES,
)
def log_prob_has_its_shape(specimen: Specimen) -> None:
    for samples, batch in SIZES:
        trial = specimen.with_trait("density", samples=samples, batch=batch)
        given = trial.call().log_prob(trial.given)
        _expect("the log density of given values", given, (samples, batch))
        require(bool(given.isfinite().all()), "a log density is not finite")


@contract(
    "prior",
    due="What the decoder reads is a part of z or weights of sticks, of the shape of the visible space, and "
    "the layers or steps make up z.",
    read="latents.LatentSpace",
    explains=("works_with_every_partner",),
)
def decoder_reads_a_part_of_z(specimen: Specimen) -> None:
    trial = specimen.trial(samples=2, batch=3)
    space, z = trial.model.prior.space, trial.z
    numbered = torch.arange(z[0, 0].numel()).reshape(z[0, 0].shape).to(z).expand_as(z)  # each by its number
    seen = space.read(numbered)
    due = space.event_shape if space.steps else space.visible.event_shape  # each step, with its context
    _expect("what is read of z", seen, (2, 3, *due))
    each = seen[0, 0].flatten()
    part = bool(torch.isin(each, numbered).all()) and len(each.unique()) == len(each)
    require(
        part or space.sticks,
        "what is read of z is not some of its values, each once",
        "let read choose among the values of z",
    )
    pieces = torch.cat([piece[0, 0].flatten() for piece in space.split(numbered)])
    whole = bool((pieces.sort().values == numbered[0, 0].flatten()).all())
    require(whole, "layers or steps do not make up z", "let split give each value of z once")


@contract("prior", due="z has as many latents as tables say.", read="prior.Prior.latent_size")
def latent_size_is_that_of_z(specimen: Specimen) -> None:
    options = specimen.bench.catalogue.options("prior", specimen.ref)
    for latent in (2, 3):
        with suppress(Refusal):
            trial = specimen.trial(latent=latent)
            found = trial.model.prior.space.count
            summary = trial.case.source.summary
            said = specimen.cls.latent_size(latent, options, lambda summary=summary: summary)
            require(
                found == said,
                f"with latent size {latent} z has {found} latents, and tables say {said}",
                "override latent_size",
            )


@contract(
    "objective",
    due="The bound is one finite figure per datum, (B,).",
    read="objective.Objective.forward",
    explains=OF_BOUNDS,
)
def bound_is_one_figure_per_datum(specimen: Specimen) -> None:
    for batch in (1, 7):
        (bound,) = specimen.trial(batch=batch)(Stream.seeded(1))
        _expect("the bound", bound, (batch,))
        require(bool(bound.isfinite().all()), "the bound is not finite")


@contract(
    "estimator",
    due="Surrogate and bound are one finite figure per datum, (B,).",
    read="objective.Estimate",
    explains=OF_BOUNDS,
)
def estimate_is_one_figure_per_datum(specimen: Specimen) -> None:
    for batch in (1, 7):
        for trial in specimen.trials(batch=batch):
            for role, value in zip(("surrogate", "bound"), trial(Stream.seeded(1)), strict=True):
                _expect(f"the {role}", value, (batch,))
                require(bool(value.isfinite().all()), f"the {role} is not finite")


@contract(*BUILT, due="In double precision everything is double.", read="distributions.base.Distribution")
def double_precision_is_kept(specimen: Specimen) -> None:
    for out in specimen.trial(dtype=torch.float64)(Stream.seeded(1, dtype=torch.float64)):
        require(
            out.dtype == torch.float64,
            f"a result is {str(out.dtype).removeprefix('torch.')}",
            "make new tensors with the dtype of an input or of a weight",
        )


@contract(*BUILT, due="Everything moves to another device with the module.", read="training.pick_device")
def device_is_followed(specimen: Specimen) -> None:
    devices = ["meta", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        trial = specimen.trial()
        moved = copy.deepcopy(trial).to(device)
        moved.x, moved.z = trial.x.to(device), trial.z.to(device)
        try:
            outs = moved(_Elsewhere(device))
        except (RuntimeError, NotImplementedError, TypeError) as error:
            _explain(device, error)
        require(
            all(out.device.type == device for out in outs),
            f"after moving to '{device}' a result is on the CPU",
            "register constant tensors as buffers, and make new ones on the device of an input",
        )


def _explain(device: str, error: Exception) -> None:
    text = str(error).splitlines()[0]
    if "device" in text and "meta tensors" not in text:
        raise Violation(
            f"after moving to '{device}': {text}",
            "register constant tensors as buffers, and make new ones on the device of an input",
        ) from error
    if any(word in text for word in ("meta tensor", "numpy")):
        raise Violation(
            f"a value is read back from the device: {text}",
            "stay in tensor operations: no .item(), .tolist(), .numpy(), bool()",
        ) from error
    raise Skip(f"torch cannot try it on '{device}': {text[:100]}") from error


class _Elsewhere(Noise):
    """Zeros of the shapes that are asked for, on a device."""

    def __init__(self, device: str) -> None:
        self.device = device

    def normal(self, shape: object) -> Tensor:
        return torch.zeros(tuple(shape), device=self.device)  # type: ignore[arg-type]

    def uniform(self, shape: object) -> Tensor:
        return torch.full(tuple(shape), 0.5, device=self.device)  # type: ignore[arg-type]


@contract(*BUILT, due="The saved weights bring the whole state back.", read="training.result.SeedResult")
def state_round_trips(specimen: Specimen) -> None:
    saved, fresh = specimen.trial(seed=0), specimen.trial(seed=1)
    fresh.x, fresh.z = saved.x, saved.z
    _train_a_little(saved)
    content = save({name: tensor.contiguous() for name, tensor in kept(saved).items()})
    put_back(fresh, load(content))
    for module in (saved, fresh):
        module.eval()
    for ours, theirs in zip(saved(saved.noise()), fresh(fresh.noise()), strict=True):
        require(
            torch.equal(ours, theirs),
            f"after saving and loading, a result differs by {(ours - theirs).abs().max().item():.3g}",
            "register every tensor of the state as parameter or persistent buffer",
        )


def _train_a_little(trial: Trial) -> None:
    weights = list(trial.trained.values())
    optimizer = eager(torch.optim.Adam)(weights, lr=1e-3) if weights else None
    for _ in range(2 if optimizer else 0):
        loss = sum(out.mean() for out in trial(trial.noise()) if out.requires_grad)
        if optimizer and isinstance(loss, Tensor):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _expect(what: str, value: Tensor, shape: tuple[int, ...]) -> None:
    require(
        tuple(value.shape) == shape,
        f"{what} has shape {tuple(value.shape)} where {shape} is due",
        "densities sum over the event dimensions and keep samples K and batch B",
    )
