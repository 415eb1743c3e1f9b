"""Checks of data sets."""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy.special import bdtrc

from lvmbench.checks.contract import applies, contract, require
from lvmbench.checks.options import required
from lvmbench.checks.specimen import Specimen, stream
from lvmbench.checks.statistics import FALSE_ALARMS, require_average
from lvmbench.checks.steps import global_state
from lvmbench.data.cache import parsed_anew
from lvmbench.data.files import present
from lvmbench.data.remarks import repeated_rows, shared_rows
from lvmbench.data.rules import SUPPORTS
from lvmbench.dataset import Data
from lvmbench.errors import UserError
from lvmbench.noise import Recorder
from lvmbench.observation import observed

READ = "dataset.Data"


def loaded_data(specimen: Specimen) -> Data:
    """The data, loaded once; a `Skip` where that cannot be tried here, or fails."""
    _try_to_load(specimen)
    applies("data" in specimen.memory, "the data do not load: see data_are_admitted")
    data: Data = specimen.memory["data"]
    return data


def _try_to_load(specimen: Specimen) -> None:
    """Load the data, once; keep them, or the error."""
    if specimen.memory:
        return
    source = _source(specimen)
    try:
        found = source.load()
        require(
            isinstance(found, Data),
            f"load returns a {type(found).__name__}",
            "return Data(splits, support, licence)",
        )
        specimen.memory["data"] = found
    except Exception as error:
        applies(
            not (isinstance(error, UserError) and required(specimen.cls)), f"a file of the user's: {error}"
        )
        specimen.memory["error"] = error


def _source(specimen: Specimen) -> Any:
    absent = [f.path for f in specimen.cls.files if not present(f)]
    applies(
        not absent, f"raw files are absent: {', '.join(absent)}; lvmbench data fetch {specimen.entry.name}"
    )
    lacking = sorted(set(required(specimen.cls)) - set(specimen.ref.options))
    what = f"'{specimen.entry.name}[{', '.join(f'{option}=...' for option in lacking)}]'"
    applies(not lacking, f"it needs {', '.join(lacking)}: check {what}")
    return specimen.build()


@contract(
    "dataset",
    due="The data load, and keep the rules of Data: splits, shapes, values, labels, factors and what is "
    "declared of them.",
    read=READ,
)
def data_are_admitted(specimen: Specimen) -> None:
    """What `Data` itself refuses, whoever makes it, is said here once; the other checks are then skipped."""
    _try_to_load(specimen)
    error = specimen.memory.get("error")
    require(not isinstance(error, UserError), str(error))
    if error is not None:
        raise error


@contract(
    "dataset",
    due="The data are the same at every load, whatever the global generators hold, read anew from raw files "
    "as from what is kept of them.",
    read="dataset.Dataset.load",
)
def data_are_the_same_at_every_load(specimen: Specimen) -> None:
    first = loaded_data(specimen).checksum
    again, used = _read_anew(specimen)
    if used:  # what is imported at the first reading alone may draw on its own account
        again, used = _read_anew(specimen)
    require(
        first == again,
        "a second load gives other data",
        "draw from lvmbench.generator or Stream.seeded, sort what has no order, and raise version where "
        "raw files are read in another way",
    )
    require(
        not used,
        f"the global generator of {' and '.join(used)} was used",
        "draw from lvmbench.generator or Stream.seeded",
    )


def _read_anew(specimen: Specimen) -> tuple[str, list[str]]:
    """The checksum of the data, read from raw files, and the global generators that were used for it."""
    torch.manual_seed(1)
    before = global_state()
    with parsed_anew():
        checksum = _source(specimen).load().checksum
    return checksum, [name for name, state in global_state().items() if state != before[name]]


@contract("dataset", due="No row is in two splits.", read=READ)
def splits_share_no_rows(specimen: Specimen) -> str | None:
    """Equal rows may be chance: a failure is only what equal rows within train make less likely than one in a
    million.
    """
    data = loaded_data(specimen)
    chance = (repeated_rows(data) + 1) / (len(data.splits["train"]) + 1)
    warnings = []
    for name, shared in shared_rows(data).items():
        rows = len(data.splits[name])
        likely = float(bdtrc(shared - 1, rows, chance)) if shared else 1.0
        require(
            likely > FALSE_ALARMS,
            f"{shared} of {rows} rows of {name} are in train too",
            "split the rows first, then make what is drawn from them",
        )
        if shared:
            warnings.append(f"warning: {shared} of {rows} rows of {name} equal one of train")
    return "; ".join(warnings)


@contract(
    "dataset",
    due="A visit keeps shape and support, and draws from its noise only, the same number each time.",
    read=READ,
)
def visits_follow_their_noise(specimen: Specimen) -> None:
    data = loaded_data(specimen)
    visit = data.visit
    applies(visit is not None, "it has no visit")
    assert visit is not None
    demands, before = set(), global_state()
    for start in (0, 9):
        x = data.splits["train"].values[start : start + 9]
        recorder = Recorder(stream("visit"))
        visited = visit(x, recorder)
        require(
            visited.shape == x.shape and visited.dtype == x.dtype,
            f"a visit of {tuple(x.shape)} has shape {tuple(visited.shape)}",
        )
        require(
            torch.equal(visited, visit(x, stream("visit"))),
            "a visit with the same noise differs",
            "draw from its noise",
        )
        lies, words = SUPPORTS[data.support]
        require(
            bool(lies(visited).all()),
            "a visit leaves the support",
            f"of '{data.support}' data each is {words}",
        )
        demands.add(recorder.demand if len(x) == 9 else None)
    require(len(demands - {None}) == 1, "visits draw another number of numbers each time")
    require(global_state() == before, "a visit uses a global generator", "draw from its noise")


@contract(
    "dataset",
    due="log_prob is the density of the data: finite, (N,), and of the data's own shape.",
    read=READ,
)
def log_prob_is_that_of_the_data(specimen: Specimen) -> None:
    """By Stein's identities, which hold for the data of any smooth density:
    E[s] = 0 and E[(x - m) s] = -1 for its score s.

    So they do for the density of what was observed; what was not is given the value that is due.
    """
    data = loaded_data(specimen)
    applies(data.log_prob is not None, "the density is not known")
    x = torch.cat([split.values for split in data.splits.values()]).clone().requires_grad_()
    assert data.log_prob is not None
    value = data.log_prob(x)
    require(value.shape == (len(x),), f"it has shape {tuple(value.shape)} where ({len(x)},) is due")
    require(bool(value.isfinite().all()), "it is not finite on the data")
    if data.support != "real" or not value.requires_grad:
        return
    (score,) = torch.autograd.grad(value.sum(), x)
    score, (rows, seen) = score.flatten(1), observed(x.detach().flatten(1))
    product = torch.where(seen, (rows - rows.sum(0) / seen.sum(0)) * score, -1.0)
    hint = "the data are not drawn from it: look at scale, mean and the split that it was fitted to"
    require_average(score, 0.0, "the score", hint)
    require_average(product, -1.0, "the product of value and score", hint, slack=1e-3)


@contract("dataset", due="A known density of one or two values integrates to one.", read=READ)
def known_density_integrates_to_one(specimen: Specimen) -> None:
    data = loaded_data(specimen)
    applies(data.log_prob is not None, "the density is not known")
    x = torch.cat([split.values for split in data.splits.values()]).double()
    size = math.prod(data.summary.event_shape)
    applies(size <= 2 and data.support == "real", "it is not over one or two real values")
    count = {1: 4001, 2: 601}[size]
    rows = x.reshape(len(x), size)
    low, high = (observed(rows, end)[0] for end in (math.inf, -math.inf))
    low, high = low.amin(0), high.amax(0)
    axes = [
        torch.linspace(float(2 * a - b), float(2 * b - a), count, dtype=torch.float64)
        for a, b in zip(low, high, strict=True)
    ]
    points = torch.cartesian_prod(*axes).reshape(-1, *data.summary.event_shape)
    volume = math.prod(float(axis[1] - axis[0]) for axis in axes)
    assert data.log_prob is not None
    total = data.log_prob(points).exp().sum().item() * volume
    require(
        abs(total - 1) < 0.01,
        f"the integral is {total:.5g}",
        f"the constant is off by {math.log(max(total, 1e-300)):+.3g} nats",
    )
