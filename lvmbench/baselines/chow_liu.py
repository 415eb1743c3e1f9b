"""A Chow-Liu tree for binary data."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from lvmbench.baselines.baseline import RowBaseline
from lvmbench.baselines.rows import Array

PSEUDO = 2.0
"""As many data are added, spread evenly over the values of each pair: one for each value by itself."""


@final
class ChowLiu(RowBaseline):
    r"""The tree of binary values that makes the training data most likely: of all, the one of the largest sum
    of mutual informations.

    .. math:: p(x) = p(x_r) \prod_{d \ne r} p(x_d | x_{\pi(d)}), \qquad
        \hat p(x_d = a, x_e = b) = \frac{n_{ab} + 1/2}{N + 2}

    Each value but the root r depends on one other, its parent :math:`\pi(d)`. What is added to the counts
    gives each value by itself the probability that it has under independent `Marginals`. Values that were not
    observed are summed over, from the leaves to the root.

    References:
        Approximating Discrete Probability Distributions with Dependence Trees (Chow, Liu, 1968),
        https://doi.org/10.1109/TIT.1968.1054142

    Example:
        >>> from lvmbench.dataset import DataSummary
        >>> tree = ChowLiu(DataSummary((2,), "binary", torch.zeros(2), levels=2))
        >>> tree.fit(np.array([[0.0, 0.0], [1.0, 1.0]]), np.empty((0, 2)))
        >>> np.exp(tree.log_prob(np.array([[0.0, 0.0], [0.0, 1.0], [np.nan, 1.0]]))).round(3)
        array([0.375, 0.125, 0.5  ])
    """

    name = "chow_liu"
    measure = "probability mass"
    requires = "binary"
    complete = False

    def fit(self, train: Array, validation: Array) -> None:
        joint = _joint(train)
        self.order, self.parent = _tree(_mutual_information(joint))
        marginal = np.stack([np.diagonal(joint[0, 0]), np.diagonal(joint[1, 1])])
        child, parent = np.arange(len(self.parent)), np.maximum(self.parent, 0)
        pairs = joint[:, :, child, parent]  # (value of the child, of its parent, child)
        conditional = pairs / marginal[None, :, parent]
        root = self.parent < 0
        conditional[:, :, root] = marginal[:, None, root]
        self.log_p = np.log(conditional)

    def log_prob(self, x: Array) -> Array:
        # what a value's descendants say of it, for both values that it may have
        evidence = np.stack([np.where(x == 1, -np.inf, 0.0), np.where(x == 0, -np.inf, 0.0)])
        message = np.zeros((2, len(x)))
        for child in self.order[::-1]:
            terms = self.log_p[:, :, child, None] + evidence[:, None, :, child]
            message = np.logaddexp(terms[0], terms[1])
            if self.parent[child] >= 0:
                evidence[:, :, self.parent[child]] += message
        return np.asarray(message[0])


def _joint(x: Array) -> Array:
    """The probabilities of the values of each pair, ``(2, 2, D, D)``, from the data that have both."""
    ones, zeros = (x == 1).astype(np.float32), (x == 0).astype(np.float32)
    states = (zeros, ones)
    counts: Array = np.stack([[a.T @ b for b in states] for a in states]).astype(float)
    total = counts.sum((0, 1))
    joint: Array = (counts + PSEUDO / 4) / (total + PSEUDO)
    diagonal = np.arange(x.shape[1])
    joint[:, :, diagonal, diagonal] = 0.0
    for value in (0, 1):
        own = counts[value, value].diagonal() + PSEUDO / 2
        joint[value, value, diagonal, diagonal] = own / (total.diagonal() + PSEUDO)
    return joint


def _mutual_information(joint: Array) -> Array:
    """The mutual information of each pair, ``(D, D)``."""
    first, second = joint.sum(1), joint.sum(0)
    independent = first[:, None] * second[None]
    return np.asarray((joint * np.log(np.where(joint > 0, joint / independent, 1.0))).sum((0, 1)))


def _tree(weight: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The spanning tree of the largest weight: its nodes from the root on, and the parent of each, or -1."""
    # scipy takes 0 for no edge; every spanning tree has as many, so that adding to all changes nothing
    distance = weight.max() + 1.0 - weight
    np.fill_diagonal(distance, 0.0)
    order, parent = breadth_first_order(minimum_spanning_tree(distance), 0, directed=False)
    return order.astype(np.int64), np.where(parent < 0, -1, parent).astype(np.int64)
