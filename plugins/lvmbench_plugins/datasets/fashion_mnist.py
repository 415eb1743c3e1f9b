"""Fashion-MNIST: images of articles of clothing."""

from __future__ import annotations

from typing import final

from lvmbench import Data, Dataset, RawFile
from lvmbench_plugins.datasets._binarize import Binarize, image_data
from lvmbench_plugins.datasets._idx import Validation, read_splits

URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
HASHES = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


@final
class FashionMnist(Dataset):
    r"""Clothing in ten classes, 28x28, in 50,000 training, 10,000 validation and 10,000 test images.

    The validation split is the last of the 60,000 training images.

    With ``binarize=dynamic`` the training images stay grey and every visit draws
    :math:`x_d \sim \operatorname{Bernoulli}(g_d)` anew; validation and test are one fixed draw, the same as
    with ``static``.

    References:
        Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms (Xiao, Rasul,
        Vollgraf, 2017), https://arxiv.org/abs/1708.07747

    Arguments:
        binarize: ``threshold`` at half intensity, ``static`` sampled once, ``dynamic`` sampled anew at each
            training visit, or ``none``: the intensities from 0 to 1.
        validation: How many training images are for validation.

    Example:
        >>> [file.path for file in FashionMnist().files][:1]
        ['fashion-mnist/train-images-idx3-ubyte.gz']
    """

    files = tuple(RawFile(f"fashion-mnist/{name}", sha256, URL + name) for name, sha256 in HASHES.items())

    def __init__(self, *, binarize: Binarize = "dynamic", validation: Validation = 10_000) -> None:
        self.binarize, self.validation = binarize, validation

    def load(self) -> Data:
        splits = self.parsed(
            read_splits, binarize=self.binarize, name="fashion_mnist", validation=self.validation
        )
        return image_data(splits, self.binarize, "MIT")
