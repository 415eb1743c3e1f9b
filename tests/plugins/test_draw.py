"""DRAW: one step is a plain model, and posterior and decoder share a canvas."""

import pytest
import torch

import lvmbench
from lvmbench import DataSummary, LatentSpace, LatentVariableModel, Refusal, Stream, Terms, UserError
from lvmbench.checks import check
from lvmbench.registry.loader import load_catalogue

CATALOGUE = load_catalogue()
DATA = DataSummary((1, 5, 4), "binary", torch.full((1, 5, 4), 0.3))
PATCH = pytest.mark.parametrize("patch", [0, 2])


def model(steps=3, patch=0, latent=6, posterior="draw[steps={},hidden=5,patch={}]"):
    """Double precision, with weights that are large enough for everything to matter."""
    prior = CATALOGUE.build("prior", "standard_normal", DATA, latent)
    q = CATALOGUE.build("posterior", posterior.format(steps, patch), DATA, prior.space)
    decoder = CATALOGUE.build("decoder", f"draw[steps={steps},hidden=5,patch={patch}]", DATA, prior.space)
    built = LatentVariableModel(prior, q, decoder).double()
    noise = Stream.seeded(0, "weights", dtype=torch.float64)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(0.3 * noise.normal(weight.shape))
    return built


def images(count=3):
    return (Stream.seeded(0, "x", dtype=torch.float64).uniform((count, 1, 5, 4)) < 0.4).double()


def latents(*shape):
    return Stream.seeded(0, "z", dtype=torch.float64).normal(shape)


def test_one_step_without_attention_is_a_plain_decoder_and_encoder():
    built, x, z = model(steps=1), images(), latents(2, 3, 6)
    decoder, posterior = built.decoder, built.posterior
    hidden, _ = decoder.cell((z,), *decoder.state)
    logits = decoder.offset.flatten() + decoder.write.linear(hidden)
    torch.testing.assert_close(built.decode(z).logits.flatten(2), logits)
    error = x - decoder.offset.sigmoid()
    seen = x.flatten(1), error.flatten(1), decoder.state[0]
    loc, log_scale = posterior.last(posterior.cell(seen, *posterior.state)[0]).chunk(2, -1)
    due = lvmbench.DiagonalNormal(loc, log_scale)
    torch.testing.assert_close(built.q(x).log_prob(z), due.log_prob(z))


@PATCH
def test_the_canvas_of_the_posterior_is_that_of_the_decoder(patch):
    built, x, z = model(patch=patch), images(), latents(2, 3, 6)
    q = built.q(x)
    _, after = q.step(q.start)
    for part in z.split(2, -1)[:-1]:
        _, after = q.step(after(part))
    image = after(z[..., -2:]).canvas.image
    torch.testing.assert_close(image, built.decode(z).logits, rtol=0, atol=0)


@PATCH
def test_a_step_depends_on_those_before_and_on_no_later_one(patch):
    built, x, z = model(patch=patch), images(1), latents(6)

    def means(z):
        return torch.stack([p.mean.flatten() for p in built.q(x).given(z.reshape(1, 1, 6))])  # (T, S)

    slopes = torch.autograd.functional.jacobian(means, z).unflatten(-1, (3, 2))  # (T, S, T, S)
    moved = (slopes != 0).all(-1).all(1)
    assert torch.equal(moved, torch.ones(3, 3, dtype=torch.bool).tril(-1))


@PATCH
@pytest.mark.statistical("the KL divergence by step, less log q - log p", "by Student's t", comparisons=1)
def test_the_divergence_of_the_draws_is_that_of_the_samples(chance, patch):
    built = model(patch=patch)
    terms = Terms(built, images(), Stream.seeded(chance.seed, "steps", dtype=torch.float64), 10_000)
    with torch.no_grad():
        difference = terms.kl_of_draws - (terms.log_q - terms.log_prior)
        assert difference.std() > 0.1  # it is in closed form, given the steps before
        chance.agrees(difference)


@PATCH
def test_holding_q_fixed_holds_the_decoder_in_it(patch):
    """The path of the samples alone reaches the weights: of the decoder, too, which q asks."""
    built, x = model(patch=patch), images()

    def noise():
        return Stream.seeded(0, "path", dtype=torch.float64)

    terms, weights = Terms(built, x, noise(), 4, fixed=True), list(built.decoder.parameters())
    _, _, slope = built.q(x).sample_with_slope(noise(), 4)
    asked = {"retain_graph": True, "materialize_grads": True}
    found = torch.autograd.grad(terms.log_q.sum(), weights, **asked)
    due = torch.autograd.grad(terms.z, weights, slope, **asked)
    live = torch.autograd.grad(built.q(x).log_prob(terms.z.detach()).sum(), weights, **asked)
    torch.testing.assert_close(found, due)
    assert any(one.abs().max() > 0.1 for one in live)  # which q held fixed leaves out


@pytest.mark.parametrize("part", ["decoder", "posterior"])
def test_attention_keeps_the_contract(part):
    names = (
        "samples_have_their_shapes",
        "far_values_have_finite_densities",
        "gradient_reaches_every_parameter",
        "density_gradient_agrees_with_differences",
        "vectorised_equals_looped",
    )
    report = check(f"{part}/draw[patch=3]", catalogue=CATALOGUE, only=names)
    assert report.ok, report.failed


@PATCH
def test_training_improves_it(patch):
    part = f"draw[steps=2,hidden=32,patch={patch}]"
    fitted = lvmbench.fit(
        data="digits",
        prior="standard_normal",
        posterior=part,
        decoder=part,
        objective="elbo",
        latent=4,
        epochs=3,
    )
    bounds = fitted.curve.validation_bound
    assert bounds.iloc[-1] > bounds.iloc[0]


def refused(**parts):
    given = {"data": "digits", "prior": "standard_normal", "posterior": "draw", "decoder": "draw"}
    with pytest.raises((Refusal, UserError)) as error:
        lvmbench.fit(**{**given, "objective": "elbo", "latent": 8, **parts})
    return str(error.value)


def test_what_does_not_go_together_is_refused():
    assert "requires decoder.canvas, which decoder 'bernoulli'" in refused(decoder="bernoulli")
    other = refused(decoder="draw[hidden=64]")
    assert "requires decoder.canvas[steps=8,hidden=128], which decoder 'draw[hidden=64]'" in other
    assert "canvas[steps=8,hidden=64]" in other
    assert "does not come out even; take steps=1, 2, 4, 8" in refused(decoder="draw[steps=3]")
    assert "draw is over the latents that the decoder reads" in refused(prior="hierarchy")
    assert "requires posterior.amortized" in refused(objective="rws")


@pytest.mark.parametrize("kind", ["decoder", "posterior"])
def test_flat_data_are_refused(kind):
    data = DataSummary((784,), "binary", torch.zeros(784))
    with pytest.raises(Refusal, match="draw is for images of one channel"):
        CATALOGUE.build(kind, "draw", data, LatentSpace((4,)))


@pytest.mark.parametrize("posterior", ["gaussian[hidden=8]", "iaf[hidden=8]"])
def test_other_posteriors_go_with_the_decoder(posterior):
    built = model(posterior=posterior)
    terms = Terms(built, images(), Stream.seeded(0, dtype=torch.float64), 4)
    assert terms.log_w().isfinite().all()


def test_what_was_not_observed_is_read_as_the_training_mean():
    built, x = model(), images()
    built.posterior.complete = False
    holes = x.clone()
    holes[:, :, 2] = torch.nan
    filled = torch.where(holes.isnan(), DATA.mean.double(), x)
    z = latents(2, 3, 6)
    torch.testing.assert_close(built.q(holes).log_prob(z), built.q(filled).log_prob(z), rtol=0, atol=0)
