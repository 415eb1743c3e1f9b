"""Pictures from Python: the axes that are given come back, with what was measured and what models make."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import lvmbench
from lvmbench import Refusal, UserError
from lvmbench.api.views import View
from lvmbench.results.pictures.data import draw_images, draw_sequences, draw_values
from tests.results.test_report import ARABIC, odd_runs, write

PARTS = {"posterior": "gaussian[hidden=8]", "objective": "elbo", "epochs": 1, "batch": 100}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return lvmbench.load(write(tmp_path_factory.mktemp("plots") / "odd", list(odd_runs())))


@pytest.fixture(scope="module")
def digits():
    """A model of images whose prior has components and pseudo-inputs."""
    return lvmbench.fit(data="digits", prior="vamp[components=5]", decoder="bernoulli", latent=3, **PARTS)


@pytest.fixture(scope="module")
def table():
    return lvmbench.fit(data="blobs", prior="standard_normal", decoder="linear_gaussian", latent=2, **PARTS)


@pytest.fixture
def axes():
    return Figure().add_subplot()


def shown(axes):
    """The texts on axes."""
    return [text.get_text() for text in axes.texts]


def test_a_heatmap_has_the_means_and_intervals_of_the_board(results, axes):
    assert results.plot.heatmap("prior", "posterior", ax=axes) is axes
    rows = results.board().frame.set_index(["prior", "posterior"])
    row = rows.loc[(ARABIC, "iaf[flows=2]")]
    assert any(text.startswith(f"{row['elbo']:.1f}"[:5]) and "\n± " in text for text in shown(axes))
    assert shown(axes).count("refused") == 4
    assert [label.get_text() for label in axes.get_yticklabels()] == list(
        dict.fromkeys(rows.index.get_level_values(0))
    )


def test_a_heatmap_of_another_figure_is_of_that(results, axes):
    results.plot.heatmap("posterior", "prior", "nmi", ax=axes)
    assert axes.get_title(loc="left") == "Nmi ↑"


def test_what_is_left_open_is_asked_for(tmp_path):
    runs = [*odd_runs(1), *(({**r, "decoder": "gaussian", "key": r["key"] + "g"}, v) for r, v in odd_runs(1))]
    plot = lvmbench.load(write(tmp_path / "two", runs)).plot
    with pytest.raises(UserError, match=r"2 to choose from \(bernoulli; gaussian\); choose by where="):
        plot.heatmap("prior", "posterior")
    axes = plot.heatmap("prior", "posterior", where=["decoder=gaussian"], ax=Figure().add_subplot())
    assert "refused" in shown(axes)


def test_every_picture_of_results_is_on_the_axes_that_are_given(results):
    plot = results.plot
    for draw in (plot.effects, plot.ranking, plot.gaps):
        own = Figure().add_subplot()
        if draw == plot.gaps:
            with pytest.raises(UserError, match="no gap"):
                draw(ax=own)
        else:
            assert draw(ax=own) is own
            assert own.get_yticklabels()
    with pytest.raises(UserError, match="no KL divergence"):
        plot.units(ax=Figure().add_subplot())


def test_one_choice_against_another_is_the_comparison_of_the_results(results, axes):
    a, b = "posterior=gaussian", "posterior=iaf"
    assert results.plot.compare(a, b, ax=axes) is axes
    row = results.compare(a, b).frame.iloc[0]
    (name,) = (label.get_text() for label in axes.get_yticklabels())
    assert name == f"digits\n{row['verdict']}"
    (point,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert point.get_xdata() == [row["difference"]]


def test_axes_are_made_where_none_are_given(results):
    from matplotlib import pyplot

    axes = results.plot.ranking()
    assert axes.figure in map(pyplot.figure, pyplot.get_fignums())
    pyplot.close(axes.figure)


IMAGES = ("data", "samples", "reconstructions", "interpolation", "traversal", "imputations", "components")


@pytest.mark.parametrize("name", [*IMAGES, "pseudo_inputs"])
def test_images_of_a_model(digits, axes, name):
    assert getattr(digits.plot, name)(ax=axes) is axes
    (image,) = axes.get_images()
    pixels = np.asarray(image.get_array())
    assert ((pixels >= 0) & (pixels <= 1)).all()
    assert pixels[pixels[..., 3] == 1, 0].std() > 0.05  # of what is drawn, not of the gaps between


def test_reconstructions_stand_below_their_data(digits, axes):
    digits.plot.reconstructions(3, ax=axes)
    pixels = np.asarray(axes.get_images()[0].get_array())[..., 0]
    x = digits.subject().values("test", torch.arange(3))
    assert np.array_equal(pixels[:8, 9:17], x[1, 0].numpy())
    with torch.no_grad():
        mean = digits.model.decode(digits.model.q(x).mean.unsqueeze(0)).mean[0, 1, 0]
    np.testing.assert_allclose(pixels[9:17, 9:17], mean.numpy(), atol=1e-6)


def test_a_line_between_codes_begins_and_ends_at_data(digits):
    view = View(digits)
    along, ends = view.between(2, 5), view.decoded(view.codes(4))
    torch.testing.assert_close(along[:, 0], ends[::2])
    torch.testing.assert_close(along[:, -1], ends[1::2])


def test_a_traversal_moves_one_unit_at_a_time(digits):
    view = View(digits)
    codes = []
    original = View.decoded
    try:
        View.decoded = lambda self, z: codes.append(z) or original(self, z)
        view.traversal(3, 5)
    finally:
        View.decoded = original
    moved = codes[0].unflatten(0, (3, 5)) - view.codes(1)
    assert ((moved.std(1) > 1e-6).sum(1) == 1).all()


def test_what_was_seen_stays(digits):
    hidden, filled = View(digits).imputed(4, 3)
    seen = ~hidden.isnan()
    assert torch.equal(filled[seen], View(digits).data(4)[seen])
    assert not seen[:, :, :4].any()
    assert seen[:, :, 4:].all()


def test_codes_are_in_the_colours_of_their_labels(digits, axes):
    digits.plot.latents(200, ax=axes)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list("0123456789")
    assert sum(len(points.get_offsets()) for points in axes.collections) == 200


def test_tables_are_drawn_beside_their_data(table):
    for draw in (table.plot.marginal, table.plot.pair, table.plot.samples):
        axes = draw(ax=Figure().add_subplot())
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["data", "samples"]
    assert table.plot.data(ax=Figure().add_subplot()).get_legend() is None
    with pytest.raises(UserError, match="no column 'x3'"):
        table.plot.marginal("x3")


def test_pictures_that_a_model_is_not_for_are_refused(table, digits):
    with pytest.raises(Refusal, match="requires dataset.image, which blobs"):
        table.plot.traversal()
    with pytest.raises(Refusal, match="a prior that is a mixture"):
        View(table).centres(3)
    with pytest.raises(Refusal, match="of the columns of a table"):
        digits.plot.marginal()


def test_images_stand_where_they_belong(axes):
    images = np.arange(6.0).reshape(2, 3, 1, 1, 1)
    pixels = np.asarray(draw_images(axes, images, (0.0, 5.0)).get_images()[0].get_array())
    assert pixels.shape == (3, 5, 4)
    np.testing.assert_allclose(pixels[::2, ::2, 0], images[..., 0, 0, 0] / 5)
    assert pixels[1].tolist() == [[0.0] * 4] * 5  # nothing between images


def test_sequences_of_few_values_are_lines_and_of_many_a_roll():
    few = draw_sequences(Figure().add_subplot(), np.zeros((2, 5, 3)))
    assert sum(len(line.get_xdata()) == 11 for line in few.lines) == 3
    roll = draw_sequences(Figure().add_subplot(), np.zeros((2, 5, 20)))
    assert roll.get_images()[0].get_array().shape == (20, 11)


def test_values_that_are_few_have_a_bin_each(axes):
    draw_values(axes, np.array([0.0, 1.0, 1.0, 3.0]), np.array([0.0, 0.0, 1.0]))
    heights = [patch.get_height() * patch.get_width() for patch in axes.patches[:3]]
    np.testing.assert_allclose(heights, [0.25, 0.5, 0.25])
