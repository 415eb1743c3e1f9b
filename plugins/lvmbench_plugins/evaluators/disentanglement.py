"""Whether each latent coordinate stands for one true factor of the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, final

import numpy as np

from lvmbench import Count, Evaluator, Measurement, Metric, Refusal, Subject, Workload, derive
from lvmbench_plugins.evaluators._common import posterior_means, training_means
from lvmbench_plugins.evaluators._factors import Array, Code, Dci, dci, mig, sap
from lvmbench_plugins.evaluators._labels import told_apart

_SHUFFLES = 10


@final
class Disentanglement(Evaluator):
    r"""MIG, DCI and SAP of the posterior means, for data whose true factors are known.

    .. math:: \mathrm{MIG}_f = \frac{I(z_{(1)}; v_f) - I(z_{(2)}; v_f)}{H(v_f)}, \qquad
        D_d = 1 - H\!\left(\frac{R_{d\cdot}}{\sum_f R_{df}}\right) \Big/ \log F, \qquad
        C_f = 1 - H\!\left(\frac{R_{\cdot f}}{\sum_d R_{df}}\right) \Big/ \log D

    where :math:`z_{(1)}` and :math:`z_{(2)}` are the two of :math:`D` coordinates that tell most of the
    factor :math:`v_f`, and :math:`R_{df}` is the importance of coordinate d in a random forest that predicts
    factor f of :math:`F`. Disentanglement is the mean of :math:`D_d` weighted by :math:`\sum_f R_{df}`,
    completeness that of :math:`C_f`, informativeness the forests' accuracy. SAP is the difference of the two
    best coordinates' balanced accuracy when each alone predicts the factor by the nearest class mean, so that
    its largest value is 1 less chance. Mutual information is that of the measured split in bins of equal
    width; forests and class means are fitted on the training split, its values as a training visit makes
    them, and tried on the measured one. Each figure is a mean over factors and is given for each factor as
    well; factors that have not two values in the training split, and two of two data or more each in the
    measured one, tell nothing apart and are left out. What would be perfect for nothing is left out, too: the
    gaps and the completeness where there is one coordinate, the disentanglement where there is one factor. In
    few data MIG is above 0 by chance, where coordinates differ in how much they vary: ``chance`` is what it
    is with the factors shuffled among the data.

    References:
        Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018),
        https://arxiv.org/abs/1802.04942 (MIG);
        A Framework for the Quantitative Evaluation of Disentangled Representations (Eastwood, Williams,
        2018), https://openreview.net/forum?id=By-7dz-AZ (DCI);
        Variational Inference of Disentangled Latent Concepts from Unlabeled Observations (Kumar, Sattigeri,
        Balakrishnan, 2018), https://arxiv.org/abs/1711.00848 (SAP)

    Arguments:
        bins: The number of bins of a coordinate for MIG.
        trees: The number of trees of each forest for DCI.
        train_data: The largest number of training data, drawn at random, that DCI and SAP are fitted on.

    Example:
        >>> Disentanglement(bins=10).metrics["mig"].better
        'higher'
    """

    version = 2
    requires = frozenset({"dataset.factors", "posterior.mean", "prior.fixed"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "mig": Metric(
            "MIG", "fraction", "higher", "mutual information gap between the two best coordinates of a factor"
        ),
        "dci_disentanglement": Metric(
            "DCI disentanglement", "fraction", "higher", "how far each coordinate stands for one factor"
        ),
        "dci_completeness": Metric(
            "DCI completeness", "fraction", "higher", "how far each factor is in one coordinate"
        ),
        "dci_informativeness": Metric(
            "DCI informativeness", "fraction", "higher", "accuracy of factors predicted from the means"
        ),
        "chance": Metric(
            "Chance level", "fraction", "neither", "a score with the factors shuffled among the data"
        ),
        "sap": Metric(
            "SAP", "fraction", "higher", "gap in accuracy between the two best coordinates of a factor"
        ),
    }
    board = ("mig", "dci_disentanglement")

    def __init__(self, *, bins: Count = 20, trees: Count = 20, train_data: Count = 10_000) -> None:
        self.bins, self.trees, self.train_data = bins, trees, train_data

    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        taught, held, names = self._codes(subject)
        seed = derive(subject.seed, "evaluate", "disentanglement") % 2**32
        found = dci(taught, held, self.trees, seed)
        yield from _figures("dci_informativeness", found.informativeness, names)
        if len(names) > 1:
            yield Measurement("dci_disentanglement", found.disentanglement)
        if held.z.shape[1] > 1:
            yield from self._gaps(subject, taught, held, found, names)

    def _gaps(
        self, subject: Subject, taught: Code, held: Code, found: Dci, names: list[str]
    ) -> Iterator[Measurement]:
        """What compares coordinates with each other."""
        yield from _figures("mig", mig(held, self.bins), names)
        yield self._chance(subject, held)
        yield from _figures("dci_completeness", found.completeness, names)
        yield from _figures("sap", sap(taught, held), names)

    def _chance(self, subject: Subject, held: Code) -> Measurement:
        """MIG where the coordinates know nothing."""
        orders = subject.noise("disentanglement", "chance").uniform((_SHUFFLES, len(held.z))).argsort(1)
        shuffled = [Code(held.z, held.factors[order]) for order in orders.cpu().numpy()]
        values = [float(mig(code, self.bins).mean()) for code in shuffled]
        error = float(np.std(values, ddof=1)) / _SHUFFLES**0.5
        return Measurement("chance", float(np.mean(values)), error, variant="mig")

    def evaluations(self, work: Workload) -> int:
        return 0

    def _codes(self, subject: Subject) -> tuple[Code, Code, list[str]]:
        """The training and the measured codes with the factors that vary in both,
        and these factors' names.
        """
        factors, taught = subject.factors, subject.part("train").factors
        if factors is None or taught is None:
            raise Refusal(
                f"the true factors of the {subject.split} split or of the training split are not known"
            )
        z, rows = training_means(subject, subject.noise("disentanglement"), self.train_data)
        varied = [
            f for f in range(factors.shape[1]) if told_apart(taught[rows, f].numpy(), factors[:, f].numpy())
        ]
        if not varied:
            raise Refusal(
                f"a factor needs two values of two data or more in the {subject.split} split, and two in the "
                "training split; none has them: measure a larger split, or set train_data higher"
            )
        names = subject.data.factor_names or tuple(map(str, range(factors.shape[1])))
        held = Code(posterior_means(subject, subject.x).numpy(), factors[:, varied].numpy())
        return Code(z.numpy(), taught[rows][:, varied].numpy()), held, [names[f] for f in varied]


def _figures(metric: str, values: Array, names: list[str]) -> Iterator[Measurement]:
    """The mean over factors, then each factor's."""
    yield Measurement(metric, float(values.mean()))
    for name, value in zip(names, values.tolist(), strict=True):
        yield Measurement(metric, value, variant=name)
