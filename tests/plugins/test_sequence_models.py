"""Models of sequences: what each part is given, what counts, and that bounds are those of a loop by hand."""

import math
from dataclasses import replace

import pytest
import torch

import lvmbench
from lvmbench import (
    Data,
    DiagonalNormal,
    LvmbenchError,
    Refusal,
    Split,
    Steps,
    Stream,
    Terms,
    UserError,
    Walk,
)
from tests.plugins.sequences import CATALOGUE, LENGTHS, POSTERIORS, PRIORS, alone, model, sequences, summary

PAIRS = [(prior, posterior) for prior in PRIORS for posterior in POSTERIORS]
EXACT = ("linear_dynamics", "exact")


def noise(*words):
    return Stream.seeded(0, *words, dtype=torch.float64)


@pytest.mark.parametrize(("prior", "posterior"), [*PAIRS, EXACT])
def test_bounds_are_those_of_a_loop_by_hand(prior, posterior):
    """Sequence by sequence and step by step, from the parts alone, over the steps that there are."""
    built, x = model(prior, posterior), sequences()
    terms = Terms(built, x, noise(), 3)
    by_hand = torch.zeros(3, 4).double()
    for i, length in enumerate(LENGTHS):
        h = built.prior.start().expand(3, 1, -1)
        q = built.q(x[i : i + 1, :length])
        for t in range(length):
            z, frame = terms.z[:, i : i + 1, t], x[i : i + 1, t]
            seen = torch.cat([z, h[..., : built.prior.space.shown]], -1)
            term = (
                built.decoder(seen).log_prob(frame) + built.prior.law(h).log_prob(z) - q.at(t, h).log_prob(z)
            )
            by_hand[:, i] += term.squeeze(1)
            h = built.prior.advance(h, z, frame)
    torch.testing.assert_close(terms.log_w(), by_hand)
    elbo, iwae = (CATALOGUE.build("objective", name) for name in ("elbo", "iwae[samples=3]"))
    torch.testing.assert_close(elbo(terms), by_hand.mean(0))
    torch.testing.assert_close(iwae(terms), by_hand.logsumexp(0) - math.log(3))


@pytest.mark.parametrize(("prior", "posterior"), [*PAIRS, EXACT])
def test_what_is_after_the_end_counts_nothing(prior, posterior):
    """Densities, divergence and gradients of a batch are those of its sequences, each alone."""
    built, x = model(prior, posterior), sequences()
    z = built.q(x).sample(noise(), 3).detach()
    names, found, gradients = ("log_prior", "log_q", "log_likelihood", "kl_of_draws"), [], []
    for batch in ([x], alone(x)):
        built.zero_grad()
        starts = (0,) if len(batch) == 1 else range(len(batch))
        terms = [
            Terms.at(built, part, z[:, i : i + len(part), : part.shape[1]], noise())
            for i, part in zip(starts, batch, strict=True)
        ]
        found.append({name: torch.cat([getattr(t, name) for t in terms], 1) for name in names})
        sum((t.log_w() + t.kl_of_draws).sum() for t in terms).backward()
        gradients.append({n: w.grad.clone() for n, w in built.named_parameters() if w.grad is not None})
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*gradients)
    assert all(gradient.isfinite().all() for gradient in gradients[0].values())
    moved = torch.where(x.isnan()[..., :1], z + 100.0, z)
    torch.testing.assert_close(built.log_joint(x, moved), built.log_joint(x, z))


@pytest.mark.parametrize(("prior", "posterior"), PAIRS)
def test_the_divergence_of_steps_is_in_closed_form_given_those_before(prior, posterior):
    built, x = model(prior, posterior), sequences()
    terms = Terms(built, x, noise(), 3)
    one, other = terms.q.given(terms.z), terms.p.given(terms.z)
    ratio, standard = one.log_scale - other.log_scale, (one.loc - other.loc) / other.log_scale.exp()
    each = (0.5 * ((2 * ratio).exp() + standard**2 - 1) - ratio).sum(-1)
    due = torch.where(x.isnan()[..., 0], 0.0, each).sum(-1)
    torch.testing.assert_close(terms.kl_of_draws, due)
    assert built.provides >= {"analytic_kl"}


@pytest.mark.parametrize("prior", PRIORS)
def test_a_filter_sees_x_up_to_a_step_and_a_smoother_all_of_it(prior):
    x = sequences(lengths=(5, 5))
    other = x.clone()
    other[:, 3:] += 1.0
    for posterior in POSTERIORS:
        built = model(prior, posterior)
        z = built.q(x).sample(noise(), 3)
        laws = [built.q(values).given(z) for values in (x, other)]
        moved = (laws[0].loc - laws[1].loc).abs().amax((0, 1, 3)) > 0  # of each step
        assert moved.tolist() == [posterior.startswith("smoothing")] * 3 + [True] * 2


def test_a_filter_without_memory_sees_one_frame():
    built, x = model("markov", "filtering[hidden=8,recurrent=false]"), sequences(lengths=(5, 5))
    z = built.q(x).sample(noise(), 3)
    other = x.clone()
    other[:, 2] += 1.0
    moved = (built.q(x).given(z).loc - built.q(other).given(z).loc).abs().amax((0, 1, 3)) > 0
    assert moved.tolist() == [False, False, True, False, False]


def test_what_a_recurrent_prior_remembers_is_what_was_before():
    built, x = model("recurrent[hidden=8]", "filtering[hidden=8]"), sequences(lengths=(5, 5))
    z = noise().normal((3, 2, 5, 2))
    contexts = built.prior.contexts(z, x)
    for late_z, late_x in ((1.0, 0.0), (0.0, 1.0)):
        other_z, other_x = z.clone(), x.clone()
        other_z[..., 2:, :] += late_z
        other_x[:, 2:] += late_x
        moved = (built.prior.contexts(other_z, other_x) - contexts).abs().amax((0, 1, 3)) > 0
        assert moved.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("prior", PRIORS)
def test_step_by_step_and_all_at_once_the_contexts_are_the_same(prior):
    built, x = model(prior, "filtering[hidden=8]"), sequences(lengths=(5, 5))
    z, h = noise().normal((3, 2, 5, 2)), built.prior.start().expand(3, 2, -1)
    found = []
    for t in range(5):
        found.append(h)
        h = built.prior.advance(h, z[..., t, :], x[:, t])
    torch.testing.assert_close(built.prior.contexts(z, x), torch.stack(found, -2))


def test_a_decoder_reads_what_a_recurrent_prior_remembers_and_of_a_markov_chain_z_alone():
    sizes = {prior: model(prior, "smoothing").prior.space.visible.event_shape for prior in PRIORS}
    assert list(sizes.values()) == [(2,), (2,), (10,)]


@pytest.mark.parametrize("prior", ["linear_dynamics", "markov"])
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_a_chain_of_one_step_is_an_ordinary_model(prior, posterior):
    """Its prior is the standard normal, bit for bit, and so are draws, densities and bounds."""
    data = summary(steps=1)
    p = CATALOGUE.build("prior", prior, data, 2)
    standard = DiagonalNormal(torch.zeros(2), torch.zeros(2))
    z = Stream.seeded(0).normal((3, 4, 1, 2))
    assert torch.equal(p(None).log_prob(z), standard.log_prob(z[..., 0, :]))
    one, other = (d.sample(Stream.seeded(0), 5) for d in (p(None), standard))
    assert torch.equal(one[:, 0], other)
    q = CATALOGUE.build("posterior", posterior, data, p.space)
    law = q(torch.ones(4, 1, 3), model=LatentOnly(p)).given(z)
    drawn, log_q = q(torch.ones(4, 1, 3), model=LatentOnly(p)).sample_and_log_prob(Stream.seeded(0), 3)
    ordinary = DiagonalNormal(law.loc[0, :, 0], law.log_scale[0, :, 0])
    due, due_log_q = ordinary.sample_and_log_prob(Stream.seeded(0), 3)
    torch.testing.assert_close(drawn[..., 0, :], due)
    torch.testing.assert_close(log_q, due_log_q)


class LatentOnly:
    """What a posterior of steps reads of a model: its prior."""

    def __init__(self, prior):
        self.prior = prior


@pytest.mark.parametrize(("prior", "posterior"), [*PAIRS, EXACT])
def test_a_walk_comes_to_the_log_weights(prior, posterior):
    """Also with holes within frames, and with a step in the middle of which nothing was observed."""
    x = sequences()
    x[0, 2, 1] = x[1, 1] = math.nan
    built = model(prior, posterior, data=summary(whole=False))
    terms = Terms(built, x, noise(), 3)
    walk = Walk(built, x)
    h, total = walk.start(3), torch.zeros(3, 4).double()
    for t, z in enumerate(terms.z.unbind(-2)):
        ratio = walk.p(t, h).log_prob(z) - walk.q(t, h).log_prob(z)
        total = total + walk.log_likelihood(t, z, h) + torch.where(walk.lasting[:, t], ratio, 0.0)
        h = walk.advance(t, h, z)
    torch.testing.assert_close(total, terms.log_w())


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("decoder", ["linear_gaussian", "gaussian[covariance=full,hidden=8,layers=1]"])
def test_holes_in_frames_are_integrated_out(prior, decoder):
    """log p(x|z) without a value is the integral over it, on a grid, of log p(x|z) with it."""
    built, x = model(prior, "filtering[hidden=8]", decoder, summary(whole=False)), sequences()
    z = built.q(x).sample(noise(), 2)
    x[0, 4, 1] = math.nan  # of the last step, which no context has
    grid = torch.linspace(-25, 25, 4001).double()
    rows = x[:1].repeat(len(grid), 1, 1)
    rows[:, 4, 1] = grid
    each = built.log_likelihood(rows, z[:, :1].expand(-1, len(grid), -1, -1))
    due = (each + math.log(50 / 4000)).logsumexp(1)
    torch.testing.assert_close(built.log_likelihood(x, z)[:, 0], due, rtol=0, atol=1e-6)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.statistical("moments of what a model generates", "by Student's t", comparisons=3)
def test_what_is_generated_follows_the_model(prior, chance):
    """Steps are drawn in turn: z_t, then x_t; a frame less its mean given z and what was before is noise
    of a known variance, and a step less the mean that it has given the step before, too.
    """
    built = model(prior, "filtering[hidden=8]")
    with torch.no_grad():
        z, x = built.simulate(Stream.seeded(chance.seed, "generated", dtype=torch.float64), 20_000)
        contexts = built.prior.contexts(z, x)
        frames = built.decoder(torch.cat([z, contexts[..., : built.prior.space.shown]], -1))
        law = built.prior.law(contexts)
    chance.agrees((x - frames.loc) / frames.log_scale.exp())
    chance.agrees(((x - frames.loc) / frames.log_scale.exp()).square(), 1.0)
    chance.agrees((z - law.loc) / law.log_scale.exp())
    assert (x.shape, built.generate(noise(), 7).shape) == ((20_000, 5, 3), (7, 5, 3))


def test_the_mean_of_what_is_generated_is_known_where_frames_are_independent_given_z():
    assert model("markov", "filtering").generate(noise(), 7, mean=True).shape == (7, 5, 3)
    with pytest.raises(UserError, match="has no mean; draw x instead"):
        model("recurrent", "filtering").generate(noise(), 7, mean=True)


def test_emissions_are_drawn_with_their_density():
    for prior in PRIORS:
        built = model(prior, "filtering[hidden=8]")
        z = noise("z").normal((3, 4, 5, 2))
        x, log_p = built.decode(z).sample_and_log_prob(noise(), 2)
        assert x.shape == (2, 3, 4, 5, 3)
        for draw, figure in zip(x, log_p, strict=True):
            each = [built.decode(z[k : k + 1]).log_prob(draw[k]) for k in range(3)]
            torch.testing.assert_close(torch.cat(each), figure)


def test_p_of_z_of_a_recurrent_prior_is_known_along_x_alone():
    built = model("recurrent", "filtering")
    with pytest.raises(LvmbenchError, match=r"known along x alone, p\.along\(x\)"):
        built.p().log_prob(torch.zeros(5, 2).double())
    assert built.p().along(sequences()).log_prob(torch.zeros(4, 5, 2).double()).shape == (4,)


@pytest.mark.parametrize("prior", PRIORS)
def test_a_prior_of_steps_is_for_sequences_alone(prior):
    data = replace(summary(), steps=0)
    with pytest.raises(Refusal, match=r"is for sequences; the data, of shape \(5, 3\), are none"):
        CATALOGUE.build("prior", prior, data, 2)


@pytest.mark.parametrize("prior", PRIORS)
def test_tables_have_the_latents_of_one_step(prior):
    p = CATALOGUE.build("prior", prior, summary(), 2)
    assert (p.space.count, p.space.event_shape, p.space.along(sequences(3, (3,))).event_shape) == (
        2,
        (5, 2),
        (3, 2),
    )


@pytest.mark.parametrize("prior", PRIORS)
def test_scales_that_fall_keep_to_their_floor(prior):
    """Figures and gradients stay finite where a step is all but a function of the one before."""
    built, x = model(prior, "filtering[hidden=8]"), sequences()
    with torch.no_grad():
        for name, weight in built.prior.named_parameters():
            if "log_" in name or "spread.bias" in name:
                weight.fill_(-1e4)
            elif name == "normal.network.linears.1.bias":
                weight.view(2, -1)[1] = -1e4
    terms = Terms(built, x, noise(), 3)
    law = terms.p.given(terms.z)
    assert isinstance(terms.p, Steps)
    torch.testing.assert_close(law.log_scale, torch.full_like(law.log_scale, -5.0))
    terms.log_w().sum().backward()
    assert all(w.grad is None or w.grad.isfinite().all() for w in built.parameters())


def fitted(**parts):
    """A model of a few sequences, trained for an epoch."""
    data = Data(dict.fromkeys(("train", "validation", "test"), SPLIT), "real", "generated", sequence=True)
    chosen = {"posterior": "filtering[hidden=8]", "decoder": "linear_gaussian", "objective": "elbo", **parts}
    return lvmbench.fit(data=data, latent=2, epochs=1, **chosen)


SPLIT = Split(sequences().float(), missing=math.nan)
REFUSED = {
    "a posterior of no steps": (
        {"prior": "markov", "posterior": "gaussian"},
        "prior 'markov' requires posterior.steps, which posterior 'gaussian' does not provide",
    ),
    "a prior of no steps": (
        {"prior": "standard_normal"},
        r"posterior 'filtering\[hidden=8\]' requires prior.steps, which prior 'standard_normal' does not",
    ),
    "pairs of z": (
        {"prior": "recurrent", "objective": "wasserstein"},
        "objective 'wasserstein' requires prior.fixed, which prior 'recurrent' does not provide",
    ),
    "no exact posterior": (
        {"prior": "linear_dynamics", "posterior": "exact", "decoder": "gaussian"},
        "prior 'linear_dynamics' requires posterior.steps, which posterior 'exact' does not provide",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_does_not_go_with_steps_is_refused_for_that_reason(why):
    parts, reason = REFUSED[why]
    with pytest.raises(Refusal, match=reason):
        fitted(**parts)


def test_of_sequences_rate_and_distortion_are_measured_and_nothing_that_pairs_their_latents():
    found = lvmbench.evaluate(fitted(prior="markov[hidden=8]"), "informativeness[samples=4]")
    assert set(found.metric) == {"rate", "distortion"}
