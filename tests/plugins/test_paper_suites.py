"""The suites of papers: that each can be run as it stands, with made-up images in place of its data."""

from dataclasses import replace

import pytest
import torch

from lvmbench import Data, Dataset, Split
from lvmbench.combinations.parts import build
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import load_catalogue
from lvmbench.suites.plan import make_plan
from lvmbench.suites.suite import load_suite
from lvmbench.training.loop import Training

REFERENCE = load_catalogue()
SUITES = [name for name in REFERENCE.names("suite") if name.startswith("paper/")]
ROWS = {"train": 512, "validation": 16, "test": 16}


class Squares(Dataset):
    """Squares of ones at random places of 28x28 pixels."""

    def load(self) -> Data:
        source, pixels = torch.Generator().manual_seed(0), torch.arange(28)

        def squares(rows: int) -> Split:
            corner = torch.randint(0, 20, (rows, 2, 1), generator=source)
            down, across = ((pixels >= corner) & (pixels < corner + 8)).unbind(1)
            x = (down.unsqueeze(2) & across.unsqueeze(1)).unsqueeze(1).to(torch.uint8)
            return Split(x, torch.arange(rows) % 4)

        splits = {name: squares(rows) for name, rows in ROWS.items()}
        return Data(splits, "binary", "made up", provides=frozenset({"image"}))


@pytest.fixture(scope="module", params=SUITES)
def plan(request):
    """The plan of a suite whose data sets are all of squares."""
    entries = [replace(e, target=Squares) if e.kind == "dataset" else e for e in REFERENCE.entries()]
    catalogue = Catalogue(entries)
    return make_plan(load_suite(request.param, catalogue), catalogue)


def test_nothing_in_the_suite_of_a_paper_is_refused(plan):
    assert {(p.status, p.reason) for p in plan.planned} == {(None, "")}
    assert not any(p.refused_evaluators for p in plan.planned)
    assert all(p.parameters and all(p.efforts.values()) for p in plan.planned)  # nor fails
    assert plan.suite.name.startswith("paper/")


def test_the_suite_of_a_paper_says_what_the_paper_found(plan):
    """That each figure is measured, and is of some combination, is checked when a suite is planned."""
    assert plan.suite.references
    assert all(reference.note for _, reference in plan.suite.references)


def test_the_combinations_of_a_paper_take_steps_at_their_sizes(plan):
    (data, *_) = plan.data.values()
    alike = {str(p.combination).partition(" · ")[2]: p for p in plan.planned}  # on any data set
    for planned in alike.values():
        parts = build(REFERENCE, planned.combination, data, seed=0)
        before = [p.clone() for p in parts.model.parameters()]
        training = Training([parts], [0], data, planned.combination.budget, torch.device("cpu"))
        training.steps_of(2)
        after = [training.pack.parameters[f"model.{n}"][0] for n, _ in parts.model.named_parameters()]
        assert all(p.isfinite().all() for p in after)
        assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
