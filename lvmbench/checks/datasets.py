"""Checks of data sets."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from lvmbench.checks.contract import applies, contract, require
from lvmbench.checks.options import required
from lvmbench.checks.specimen import Specimen, stream
from lvmbench.checks.statistics import FALSE_ALARMS, require_average
from lvmbench.checks.steps import global_state
from lvmbench.dataset import Data
from lvmbench.noise import Recorder
from lvmbench.rawdata import data_home

READ = "dataset.Data"
SPLITS = ["train", "validation", "test"]
CHUNK = 5000
RANGES = {"binary": (0.0, 1.0), "unit": (0.0, 1.0), "real": (-math.inf, math.inf)}


def _data(specimen: Specimen) -> Data:
    """The data, loaded once; a `Skip` where that cannot be tried here."""
    if "data" not in specimen.memory:
        specimen.memory["data"] = _source(specimen).load()
    data: Data = specimen.memory["data"]
    return data


def _source(specimen: Specimen) -> Any:
    absent = [f.path for f in specimen.cls.files if not (data_home() / f.path).is_file()]
    applies(
        not absent, f"raw files are absent: {', '.join(absent)}; lvmbench data fetch {specimen.entry.name}"
    )
    lacking = sorted(set(required(specimen.cls)) - set(specimen.ref.options))
    what = f"'{specimen.entry.name}[{', '.join(f'{option}=...' for option in lacking)}]'"
    applies(not lacking, f"it needs {', '.join(lacking)}: check {what}")
    return specimen.build()


@contract(
    "dataset", due="There are three splits, not empty, of the same event shape, and a licence.", read=READ
)
def splits_are_three(specimen: Specimen) -> None:
    data = _data(specimen)
    require(list(data.splits) == SPLITS, f"the splits are {list(data.splits)}", f"they are {SPLITS}")
    shapes = {tuple(split.x.shape[1:]) for split in data.splits.values()}
    require(len(shapes) == 1, f"the event shapes are {sorted(shapes)}")
    empty = [name for name, split in data.splits.items() if not len(split)]
    require(not empty, f"{', '.join(empty)} is empty")
    require(bool(data.licence), "there is no licence", "say under what terms the data may be used")
    require(math.prod(next(iter(shapes))) > 0 and bool(shapes - {()}), "an event is empty", "x is (N, *x)")


@contract("dataset", due="Values are finite and lie within the declared support.", read=READ)
def values_lie_in_their_support(specimen: Specimen) -> None:
    data = _data(specimen)
    require(data.support in RANGES, f"support is {data.support!r}", f"one of {', '.join(RANGES)}")
    low, high = RANGES[data.support]
    for name, split in data.splits.items():
        require(bool(split.x.isfinite().all()), f"a value of {name} is not finite")
        found = [split.decode(end).item() for end in split.x.aminmax()]
        require(
            low <= found[0] and found[1] <= high,
            f"values of {name} go from {found[0]:.4g} to {found[1]:.4g}",
            f"support is '{data.support}': set scale, or declare another",
        )
        if data.support == "binary" and (data.visit is None or name != "train"):
            whole = all(bool(((x == 0) | (x == 1)).all()) for x in map(split.decode, split.x.split(CHUNK)))
            require(whole, f"binary values of {name} are not 0 or 1")


@contract(
    "dataset",
    due="The data are the same at every load, whatever the global generators hold.",
    read="dataset.Dataset.load",
)
def data_are_the_same_at_every_load(specimen: Specimen) -> None:
    first = _data(specimen).checksum
    torch.manual_seed(1)
    before = global_state()
    again = _source(specimen).load().checksum
    require(
        first == again,
        "a second load gives other data",
        "draw from lvmbench.generator or Stream.seeded, and sort what has no order",
    )
    used = [name for name, state in global_state().items() if state != before[name]]
    require(
        not used,
        f"the global generator of {' and '.join(used)} was used",
        "draw from lvmbench.generator or Stream.seeded",
    )


@contract("dataset", due="Labels are whole numbers, (N,).", read="dataset.Split")
def labels_are_whole_numbers(specimen: Specimen) -> None:
    found = {name: split for name, split in _data(specimen).splits.items() if split.labels is not None}
    applies(bool(found), "it has no labels")
    for name, split in found.items():
        assert split.labels is not None
        require(
            tuple(split.labels.shape) == (len(split),),
            f"labels of {name} have shape {tuple(split.labels.shape)}",
        )
        require(split.labels.dtype == torch.int64, f"labels of {name} are {split.labels.dtype}", "use int64")
        require(bool((split.labels >= 0).all()), f"a label of {name} is negative")


@contract("dataset", due="No row is in two splits.", read=READ)
def splits_share_no_rows(specimen: Specimen) -> str | None:
    """Equal rows may be chance: a failure is only what equal rows within train make less likely than one in a million."""
    data = _data(specimen)
    rows = {name: _keys(split.x) for name, split in data.splits.items()}
    train = Counter(rows["train"])
    twice = sum(count for count in train.values() if count > 1)
    chance = (twice + 1) / (len(rows["train"]) + 1)
    warnings = []
    for name in SPLITS[1:]:
        shared = sum(row in train for row in rows[name])
        likely = stats.binom.sf(shared - 1, len(rows[name]), chance) if shared else 1.0
        require(
            likely > FALSE_ALARMS,
            f"{shared} of {len(rows[name])} rows of {name} are in train too",
            "split the rows first, then make what is drawn from them",
        )
        if shared:
            warnings.append(f"warning: {shared} of {len(rows[name])} rows of {name} equal one of train")
    return "; ".join(warnings)


def _keys(x: Tensor) -> list[bytes]:
    flat = x.reshape(len(x), -1).contiguous().numpy()
    return [row.tobytes() for row in flat]


@contract("dataset", due="Data that provide 'image' have channels, height and width.", read=READ)
def images_have_three_dimensions(specimen: Specimen) -> None:
    data = _data(specimen)
    applies("image" in data.capabilities, "it does not provide 'image'")
    shape = tuple(data.splits["train"].x.shape[1:])
    require(len(shape) == 3, f"the event shape is {shape}", "an image is (channels, height, width)")


@contract(
    "dataset",
    due="A visit keeps shape and support, and draws from its noise only, the same number each time.",
    read=READ,
)
def visits_follow_their_noise(specimen: Specimen) -> None:
    data = _data(specimen)
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
        low, high = RANGES[data.support]
        require(
            bool(((visited >= low) & (visited <= high)).all()), f"a visit leaves the support '{data.support}'"
        )
        require(
            data.support != "binary" or bool(((visited == 0) | (visited == 1)).all()),
            "a visit of binary data is not 0 or 1",
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
    """By Stein's identities, which hold for the data of any smooth density: E[s] = 0 and E[(x - m) s] = -1 for its score s."""
    data = _data(specimen)
    applies(data.log_prob is not None, "the density is not known")
    x = torch.cat([split.values for split in data.splits.values()]).clone().requires_grad_()
    assert data.log_prob is not None
    value = data.log_prob(x)
    require(value.shape == (len(x),), f"it has shape {tuple(value.shape)} where ({len(x)},) is due")
    require(bool(value.isfinite().all()), "it is not finite on the data")
    if data.support != "real" or not value.requires_grad:
        return
    (score,) = torch.autograd.grad(value.sum(), x)
    score, rows = score.flatten(1), x.detach().flatten(1)
    hint = "the data are not drawn from it: look at scale, mean and the split that it was fitted to"
    require_average(score, 0.0, "the score", hint)
    require_average(((rows - rows.mean(0)) * score), -1.0, "the product of value and score", hint, slack=1e-3)


@contract("dataset", due="A known density of one or two values integrates to one.", read=READ)
def known_density_integrates_to_one(specimen: Specimen) -> None:
    data = _data(specimen)
    applies(data.log_prob is not None, "the density is not known")
    x = torch.cat([split.values for split in data.splits.values()]).double()
    size = math.prod(data.summary.event_shape)
    applies(size <= 2 and data.support == "real", "it is not over one or two real values")
    count = {1: 4001, 2: 601}[size]
    rows = x.reshape(len(x), size)
    spread = rows.max(0).values - rows.min(0).values
    axes = [
        torch.linspace(float(a - s), float(b + s), count, dtype=torch.float64)
        for a, b, s in zip(rows.min(0).values, rows.max(0).values, spread, strict=True)
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
