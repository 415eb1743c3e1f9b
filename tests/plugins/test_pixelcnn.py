"""The PixelCNN decoder against sums over every image, its field, and draws pixel by pixel."""

import pytest
import torch

from lvmbench import Buffer, DataSummary, LatentSpace, Refusal, Stream, UserError
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref

CATALOGUE = load_catalogue()
EVERY = torch.cartesian_prod(*[torch.arange(2.0).double()] * 9).reshape(-1, 1, 3, 3)


def decoder(size=3, options=""):
    """Double precision, with weights that are large enough for everything to matter."""
    data = DataSummary((1, size, size), "binary", torch.full((1, size, size), 0.4))
    built = CATALOGUE.build("decoder", f"pixelcnn[channels=4,hidden=8{options}]", data, LatentSpace((2,)))
    noise = Stream.seeded(0, "weights", dtype=torch.float64)
    with torch.no_grad():
        for weight in built.double().parameters():
            weight.add_(0.3 * noise.normal(weight.shape))
    return built


def latents(*shape):
    return Stream.seeded(0, "z", dtype=torch.float64).normal((*shape, 2))


CONDITIONAL = pytest.mark.parametrize("options", ["", ",conditional=every", ",window=2,kernel=5"])


@CONDITIONAL
def test_the_probabilities_of_all_images_add_up_to_one(options):
    p = decoder(options=options)(latents(2, 3))
    total = p.log_prob(EVERY[:, None, None]).logsumexp(0)
    torch.testing.assert_close(total, torch.zeros(2, 3).double(), rtol=0, atol=1e-12)


def reach(options):
    """How far a pixel looks: up and to the left, and to either side in the rows above."""
    given = dict(option.split("=") for option in options[1:].split(","))
    most = 1 + int(given["layers"]) * (int(given["kernel"]) // 2)
    far = min(most, int(given.get("window", most)))
    return far, far - 1


@pytest.mark.parametrize(
    "options",
    [
        ",layers=2,kernel=3",
        ",layers=1,kernel=5",
        ",layers=2,kernel=3,conditional=every",
        ",layers=3,kernel=5,window=3",
        ",layers=2,kernel=3,window=1",
    ],
)
def test_logits_depend_on_every_pixel_before_in_the_field_and_on_no_other(options):
    size, (far, wide) = 9, reach(options)
    p = decoder(size, options)(latents(1, 1))
    image = torch.rand(size, size).double()
    slopes = torch.autograd.functional.jacobian(lambda x: p.raster(x, p.maps)[0, 0], image)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    down, across = y[:, :, None, None] - y, x[:, :, None, None] - x
    beside = (down == 0) & (across >= 1) & (across <= far)
    above = (down >= 1) & (down <= far) & (across.abs() <= wide)
    assert torch.equal(slopes != 0, beside | above)


@CONDITIONAL
def test_draws_are_those_of_a_pass_for_each_pixel(options):
    built = decoder(5, options)
    p, uniforms = built(latents(2, 3)), Stream.seeded(0, "u", dtype=torch.float64).uniform((4, 2, 3, 5, 5))
    x = torch.zeros(4, 2, 3, 5, 5).double()
    with torch.no_grad():
        for i in range(5):
            for j in range(5):
                x[..., i, j] = (uniforms[..., i, j] < p.raster(x, p.maps)[..., i, j].sigmoid()).double()
    drawn, log_p = p.sample_and_log_prob(Buffer(uniforms[:0].flatten(), uniforms.flatten()), 4)
    assert torch.equal(drawn, x.unsqueeze(-3))
    torch.testing.assert_close(log_p, p.log_prob(drawn), rtol=0, atol=0)
    assert 0.1 < drawn.mean() < 0.9


@CONDITIONAL
@pytest.mark.statistical("pixels, pairs of pixels and log p of draws", "by Student's t", comparisons=2)
def test_draws_follow_the_density(chance, options):
    p = decoder(options=options)(latents(1, 1))
    log_p = p.log_prob(EVERY[:, None, None]).flatten()
    pixels = EVERY.flatten(1)
    pairs = torch.einsum("n,ni,nj->ij", log_p.exp(), pixels, pixels)
    x, drawn = p.sample_and_log_prob(Stream.seeded(chance.seed, "draws", dtype=torch.float64), 20_000)
    x = x.reshape(-1, 9)
    chance.agrees(x.unsqueeze(1) * x.unsqueeze(2), pairs)
    chance.agrees(drawn.flatten(), (log_p.exp() * log_p).sum())


@CONDITIONAL
def test_many_samples_of_z_in_tiles_give_the_same(options):
    """40 x 7 images of 12 x 12 pixels: more than one tile."""
    p = decoder(12, options)(latents(40, 7))
    x = (torch.rand(7, 1, 12, 12) < 0.4).double()
    torch.testing.assert_close(p.log_prob(x), p.log_prob(x.expand(40, 7, 1, 12, 12)), rtol=0, atol=1e-10)


def test_starts_at_the_training_mean_where_nothing_else_is_learned():
    built = decoder()
    torch.nn.init.zeros_(built.raster.last.weight)
    torch.nn.init.zeros_(built.raster.last.bias)
    torch.nn.init.constant_(built.raster.offset, torch.tensor(0.4).logit())
    log_p = built(latents(1, 1)).log_prob(torch.ones(1, 1, 3, 3).double())
    torch.testing.assert_close(log_p.exp().item(), 0.4**9)


@pytest.mark.parametrize("shape", [(784,), (3, 4), (3, 8, 8)])
def test_data_that_are_no_images_of_one_channel_are_refused(shape):
    data = DataSummary(shape, "binary", torch.zeros(shape))
    with pytest.raises(Refusal, match="pixelcnn is for images of one channel"):
        CATALOGUE.build("decoder", "pixelcnn", data, LatentSpace((2,)))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("kernel=4", "'kernel' should be odd"),
        ("layers=0", "'layers' should be greater"),
        ("channels=0", "'channels' should be greater"),
        ("window=0", "'window' should be greater"),
        ("conditional=none", "'conditional' should be 'last' or 'every'"),
    ],
)
def test_options_that_cannot_be_are_refused(options, reason):
    with pytest.raises(UserError, match=reason):
        CATALOGUE.options("decoder", Ref.parse(f"pixelcnn[{options}]"))
