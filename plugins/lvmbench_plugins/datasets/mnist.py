"""MNIST: handwritten digits."""

from __future__ import annotations

from typing import final

from lvmbench import Data, Dataset, Published, RawFile
from lvmbench_plugins.datasets._binarize import Binarize, image_data
from lvmbench_plugins.datasets._idx import Validation, read_splits

URL = "https://ossci-datasets.s3.amazonaws.com/"
HASHES = {
    "mnist/train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "mnist/train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "mnist/t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "mnist/t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}

PUBLISHED = (
    Published(
        -78.53,
        "variational lossy autoencoder",
        "Chen et al. 2017, table 2",
        "the same test images, made binary by another draw",
    ),
)


@final
class Mnist(Dataset):
    r"""Handwritten digits, 28x28, in 50,000 training, 10,000 validation and 10,000 test images.

    The validation split is the last of the 60,000 training images.

    With ``binarize=dynamic`` the training images stay grey and every visit draws
    :math:`x_d \sim \operatorname{Bernoulli}(g_d)` anew; validation and test are one fixed draw, the same as
    with ``static``. Published figures on the dynamic set differ in whether the test images are fixed or drawn
    anew, and in how many images are for validation: 400 in the paper on importance weighted autoencoders,
    10,000 in most later ones.

    References:
        Gradient-Based Learning Applied to Document Recognition (LeCun, Bottou, Bengio, Haffner, 1998),
        https://doi.org/10.1109/5.726791;
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016),
        https://arxiv.org/abs/1509.00519

    Arguments:
        binarize: ``threshold`` at half intensity, ``static`` sampled once, ``dynamic`` sampled anew at each
            training visit, or ``none``: the intensities from 0 to 1. The ``static`` sample is this package's
            own; the published one is the data set ``static_mnist``.
        validation: How many training images are for validation.

    Example:
        >>> [file.path for file in Mnist().files][:1]
        ['mnist/train-images-idx3-ubyte.gz']
    """

    files = tuple(RawFile(path, sha256, URL + path) for path, sha256 in HASHES.items())

    def __init__(self, *, binarize: Binarize = "dynamic", validation: Validation = 10_000) -> None:
        self.binarize, self.validation = binarize, validation

    def load(self) -> Data:
        splits = self.parsed(read_splits, binarize=self.binarize, name="mnist", validation=self.validation)
        return image_data(splits, self.binarize, "CC BY-SA 3.0, as commonly cited", PUBLISHED)
