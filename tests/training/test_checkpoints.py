"""Checkpoints: a training that was cut short, or whose budget is raised, goes on as if it had not been."""

import functools
import json
import random
from dataclasses import replace
from itertools import cycle, product
from types import MappingProxyType

import pytest
import torch

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.optimizers import OPTIMIZERS
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import default_estimators
from lvmbench.combinations.schedules import SCHEDULES
from lvmbench.data.tensors import read_described, write_described
from lvmbench.errors import UserError
from lvmbench.execution.checkpoints import Checkpoints
from lvmbench.execution.unfinished import expect_own, remove
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training import train
from lvmbench.training.checkpoint import Checkpoint
from lvmbench.training.tape import Tape
from tests.training.test_training import Around

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
KINDS = ("dataset", "prior", "posterior", "decoder", "objective", "estimator")
BLOBS = "blobs[train=60,validation=20,test=10] standard_normal gaussian[hidden=8,layers=1]"
PLAIN = f"{BLOBS} linear_gaussian elbo pathwise"
SEQUENCES = "linear_gaussian_sequences[steps=5,shortest=2,train=40,validation=20,test=10]"
HOLED = "linear_gaussian[missing=0.3,train=60,validation=20]"
METHODS = [
    "digits[binarize=dynamic] standard_normal gaussian[hidden=8] bernoulli[hidden=8] iwae[samples=3] dreg",
    "blobs[train=60] vamp[components=4] gaussian[hidden=8] gaussian[hidden=8] elbo",
    "blobs[train=60] associative[neighbours=3,hidden=8] gaussian[hidden=8] gaussian[hidden=8] elbo",
    f"{HOLED} standard_normal svi[steps=3,warm=true] linear_gaussian elbo pathwise",
    "blobs[train=60] standard_normal semi_amortized[steps=2,hidden=8] gaussian[hidden=8] elbo",
    f"{BLOBS} linear_gaussian elbo score[baseline=moving_average]",
    f"{BLOBS} linear_gaussian iwae[samples=3] vimco",
    "digits bernoulli bernoulli[hidden=8] bernoulli[hidden=8] elbo rebar",
    "digits bernoulli relaxed[anneal=50,hidden=8] bernoulli[hidden=8] elbo",
    f"{SEQUENCES} linear_dynamics filtering linear_gaussian iwae[samples=2]",
]
COSTLY = [
    "blobs[train=60] diffusion[layers=3] noising gaussian[hidden=8] elbo",
    "blobs[train=60] standard_normal iaf[flows=2,hidden=8] gaussian[hidden=8] elbo",
    "blobs[train=60] standard_normal hamiltonian gaussian[hidden=8] elbo pathwise",
    f"{BLOBS} linear_gaussian elbo score[baseline=network]",
    f"{BLOBS} linear_gaussian wasserstein",
    f"{BLOBS} linear_gaussian mcmc",
    "digits autoregressive gaussian[hidden=8] bernoulli[hidden=8] elbo",
    "digits hierarchy ladder[hidden=8] bernoulli[hidden=8] elbo",
    f"{SEQUENCES} linear_dynamics filtering linear_gaussian smc",
]
both_ways = pytest.mark.parametrize("vectorized", [True, False], ids=["vectorized", "looped"])


OPTIONS = MappingProxyType({})


class Cut(Exception):  # noqa: N818
    """The end of a training that is cut short."""


@functools.cache
def load(name):
    """The data; of the digits a few."""
    data = CATALOGUE.build("dataset", name).load()
    if not name.startswith("digits"):
        return data
    return replace(data, splits={name: few(split) for name, split in data.splits.items()})


def few(split, count=60):
    return replace(split, x=split.x[:count], labels=split.labels[:count])


def budget(**changes):
    return Budget(**{"epochs": 4, "batch": 30, "learning_rate": 1e-2, "patience": 0, **changes})


def make(method, seeds, change=None):
    refs = dict(zip(KINDS, map(Ref.parse, method.split()), strict=False))
    if "estimator" not in refs:
        refs["estimator"] = default_estimators(CATALOGUE, refs["objective"])[0]
    data = load(str(refs["dataset"]))
    built = [build(CATALOGUE, Combination(refs, latent=2), data, seed) for seed in seeds]
    return [change(parts, seed) if change else parts for parts, seed in zip(built, seeds, strict=True)], data


SEEDS = (0, 1, 2, 3)
"""So many that not all of them lose patience in the same epoch."""


def run(seed, how):
    return f"run {seed} {how.epochs} {how.patience} {how.schedule}"


class Place:
    """A folder of checkpoints, and trainings that go by it."""

    def __init__(self, folder):
        self.folder, self.said, self.epochs = folder, [], []

    def checkpoints(self, how, seeds=(0, 1), seconds=1e-9, keep=False):
        """Those of a training, by default written after each epoch."""
        keys = [run(seed, how) for seed in seeds]
        courses = [f"{seed} {how.course}" for seed in seeds]
        return Checkpoints(self.folder, keys, courses, seconds, keep, self.said.append, "then")

    def fit(self, how, method=PLAIN, seeds=(0, 1), *, cut=None, change=None, options=OPTIONS, **where):
        """The results of a training; with ``cut`` none, as it ends in the epoch after that one."""
        self.said, self.epochs = [], []
        parts, data = make(method, seeds, change)

        def report(epoch):
            self.epochs.append(epoch.epoch)
            if cut is not None and epoch.epoch > cut:
                raise Cut

        place = self.checkpoints(how, seeds, **where)
        return train(parts, seeds, data, how, CPU, report, checkpoints=place, **options)

    def cut(self, how, after, **what):
        with pytest.raises(Cut):
            self.fit(how, cut=after, **what)

    @property
    def files(self):
        return sorted(self.folder.glob("*.*"))

    @property
    def kept(self):
        return sorted(self.folder.glob("kept/*.*"))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "checkpoints")


@pytest.fixture
def leaving(monkeypatch):
    """Runs leave their pack as soon as they have stopped, also in trainings as short as these."""
    monkeypatch.setattr("lvmbench.training.loop.REPAID", 0)


def undisturbed(how, method=PLAIN, seeds=(0, 1), *, change=None, options=OPTIONS):
    parts, data = make(method, seeds, change)
    return train(parts, seeds, data, how, CPU, **options)


def bits(tensor):
    return tensor.flatten().view(torch.uint8)


def assert_same(one, other):
    """Two results are equal to the last bit, times aside."""
    assert [result.seed for result in one] == [result.seed for result in other]
    for a, b in zip(one, other, strict=True):
        for name in ("status", "reason", "epochs", "best_epoch", "best_bound", "stopped", "curve"):
            assert repr(getattr(a, name)) == repr(getattr(b, name))
        assert a.weights.keys() == b.weights.keys()
        for name, tensor in a.weights.items():
            assert torch.equal(bits(tensor), bits(b.weights[name])), name


def assert_goes_on(place, how, after, **what):
    """A training that is cut after some epochs goes on from there, to the same result."""
    place.cut(how, after, **what)
    resumed = place.fit(how, **what)
    assert place.said == [f"goes on after epoch {after} of {how.epochs}, begun then"]
    assert place.epochs == list(range(1, len(place.epochs) + 1)), "also those before are reported"
    assert_same(resumed, undisturbed(how, **what))
    return resumed


QUICK = [*zip(["sgd[momentum=0.9]", *OPTIMIZERS], cycle(SCHEDULES), strict=False)]
"""Each optimiser and each schedule once."""
PAIRS = [pytest.param(*pair, marks=pytest.mark.slow) for pair in product(OPTIMIZERS, SCHEDULES)]


@pytest.mark.parametrize(("optimizer", "schedule"), [*QUICK, *PAIRS])
def test_every_optimizer_and_schedule_goes_on(place, optimizer, schedule):
    rate = 1e-3 if optimizer.startswith("sgd") else 0.03
    assert_goes_on(place, budget(optimizer=optimizer, schedule=schedule, learning_rate=rate), 2)


@pytest.mark.parametrize("method", [*METHODS, *(pytest.param(m, marks=pytest.mark.slow) for m in COSTLY)])
def test_every_kind_of_method_goes_on(place, method):
    """After a random epoch, drawn by the method's name."""
    after = random.Random(method).randint(1, 3)
    assert_goes_on(place, budget(epochs=4, warm_up=2.5, clip=1.0), after, method=method)


@pytest.mark.slow
@pytest.mark.parametrize("draw", range(20))
def test_a_random_training_goes_on_after_each_of_random_cuts(place, draw):
    drawn = random.Random(draw)
    method = drawn.choice([PLAIN, *METHODS])
    what = {
        "method": method,
        "seeds": range(drawn.randint(1, 4)),
        "options": {"vectorized": drawn.choice([True, False])},
    }
    names = {"optimizer": drawn.choice([*OPTIMIZERS]), "schedule": drawn.choice([*SCHEDULES])}
    how = budget(epochs=12, batch=drawn.randint(7, 60), learning_rate=1e-3, warm_up=3.0, **names)
    done = undisturbed(how, **what)
    for after in sorted(drawn.sample(range(1, 12), 3)):
        with pytest.raises(Cut):
            place.fit(how, cut=after, **what)
    assert_same(place.fit(how, **what), done)


@both_ways
def test_it_goes_on_both_ways(place, vectorized):
    assert_goes_on(place, budget(), 2, options={"vectorized": vectorized})


@pytest.mark.parametrize("schedule", ["constant", "plateau[patience=0]"])
def test_runs_that_learn_at_rates_of_their_own_go_on(place, schedule):
    how = budget(schedule=schedule)
    assert_goes_on(place, how, 2, seeds=SEEDS, options={"rates": [0.01, 0.01, 0.03, 0.1]})


def fused(parts, seed):
    """The parts of a seed, with an objective that is not a number any more after five steps of seed 1."""

    def burn(self, bound, _):
        if self.training:
            self.fuse.sub_(1.0)
        return bound + 0 * self.fuse.log()

    objective = Around(parts.objective, burn)
    objective.register_buffer("fuse", torch.tensor(5.5 if seed == 1 else 1e6))
    return replace(parts, objective=objective)


@both_ways
@pytest.mark.usefixtures("leaving")
def test_it_goes_on_where_one_seed_has_lost_patience_and_another_diverged(place, vectorized):
    """Others are still training when it is cut, without those two."""
    how = budget(epochs=30, patience=1, learning_rate=0.1)
    what = {"seeds": SEEDS, "change": fused, "options": {"vectorized": vectorized}}
    done = undisturbed(how, **what)
    assert done[1].status == "diverged"
    first, second, _, last = sorted(result.epochs for result in done)
    assert done[1].epochs < last
    assert first < second < last
    assert_goes_on(place, how, max(second, done[1].epochs), **what)


def test_it_is_cut_again_and_again(place):
    how = budget(epochs=5, optimizer="adamw")
    for after in (1, 2, 4):
        place.cut(how, after)
    assert_same(place.fit(how), undisturbed(how))
    assert place.said == ["goes on after epoch 4 of 5, begun then"]


def test_its_seconds_are_those_of_all_its_parts(place, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr("lvmbench.training.loop.time.perf_counter", lambda: float(next(clock)))
    whole = undisturbed(budget())
    place.cut(budget(), 3)
    assert [r.seconds for r in place.fit(budget())] == [r.seconds for r in whole]


def test_seeds_of_a_pack_go_on_apart(place):
    """As where the pack ran out of time, and they are tried one by one: equal but for the last digits."""
    how = budget(epochs=6)
    place.cut(how, 4, seeds=(0, 1, 2))
    (apart,) = place.fit(how, seeds=(1,))
    assert place.said == ["goes on after epoch 4 of 6, begun then"]
    whole = undisturbed(how, seeds=(0, 1, 2))[1]
    torch.testing.assert_close(torch.tensor(apart.curve), torch.tensor(whole.curve), rtol=1e-4, atol=1e-4)
    assert apart.curve[:4] == whole.curve[:4]


@pytest.mark.usefixtures("leaving")
def test_seeds_go_on_apart_also_those_that_have_left_their_pack(place):
    how = budget(epochs=30, patience=1, learning_rate=0.1)
    whole = undisturbed(how, seeds=SEEDS)
    first, second, *_ = sorted({result.epochs for result in whole})
    place.cut(how, second, seeds=SEEDS)
    (checkpoint,) = map(Checkpoint.read, place.files)
    stopped = [result.seed for result in whole if result.epochs == first]
    assert [*checkpoint.packed] == [seed for seed in SEEDS if seed not in stopped]
    for due in whole:
        (apart,) = place.fit(how, seeds=(due.seed,), seconds=0.0)
        assert place.said == [f"goes on after epoch {second} of 30, begun then"]
        assert apart.curve[:second] == due.curve[:second]
        if due.epochs <= second:
            assert_same([apart], [due])


@pytest.mark.parametrize(
    ("method", "schedule"),
    [(METHODS[0], "step[every=1]"), (METHODS[5], "plateau[patience=0]"), (METHODS[9], "constant")],
)
def test_steps_that_are_replayed_go_on(place, method, schedule, monkeypatch):
    """They are recorded anew, on the tensors that were brought back."""
    monkeypatch.setattr("lvmbench.training.graph.WARM_ON_CPU", 1)
    replays, replay = [], Tape.replay
    monkeypatch.setattr(Tape, "replay", lambda tape: replays.append(tape) or replay(tape))
    assert_goes_on(place, budget(schedule=schedule), 2, method=method)
    assert len({*replays}) > 3, "those of the three trainings"


def test_short_trainings_write_nothing(place):
    place.fit(budget(), seconds=300.0)
    assert not place.folder.exists()


def test_without_seconds_nothing_is_written(place):
    place.fit(budget(), seconds=0.0)
    assert not place.folder.exists()


# larger budgets


def test_more_epochs_go_on_from_where_fewer_ended(place):
    place.fit(budget(epochs=3))
    assert len(place.kept) == 1
    assert_same(place.fit(budget(epochs=6), seconds=0.0), undisturbed(budget(epochs=6)))
    assert place.said == ["goes on after epoch 3 of 6, begun then"]


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "cosine"])
def test_more_epochs_go_on_under_every_schedule_that_does_not_depend_on_them(place, schedule):
    short, long = (budget(epochs=epochs, schedule=schedule, learning_rate=0.03) for epochs in (3, 6))
    place.fit(short)
    assert_same(place.fit(long), undisturbed(long))
    assert place.said == ["goes on after epoch 3 of 6, begun then"]


def test_a_schedule_over_all_epochs_begins_anew_with_more_of_them(place):
    short, long = (budget(epochs=epochs, schedule="cosine") for epochs in (3, 6))
    place.fit(short, keep=True)
    assert_same(place.fit(long), undisturbed(long))
    assert place.said == []


def test_a_seed_that_lost_patience_does_not_train_on_with_more_epochs(place):
    """It ends at once, with the same result; the others go on."""
    long = budget(epochs=30, patience=1, learning_rate=0.1)
    done = undisturbed(long, seeds=SEEDS)
    first = min(result.epochs for result in done)
    ends = place.fit(long.model_copy(update={"epochs": first + 1}), seeds=SEEDS)
    assert {result.stopped for result in ends} == {"patience", "budget"}
    assert_same(place.fit(long, seeds=SEEDS), done)
    assert place.said == [f"goes on after epoch {first + 1} of 30, begun then"]


@pytest.mark.usefixtures("leaving")
@pytest.mark.parametrize("epochs", [20, pytest.param(30, marks=pytest.mark.slow)])
def test_more_patience_goes_on_from_where_the_first_seed_lost_it(place, epochs):
    impatient, patient = (budget(epochs=e, patience=p, learning_rate=0.1) for e, p in ((20, 1), (epochs, 3)))
    ends = [result.epochs for result in place.fit(impatient, seeds=SEEDS, keep=True)]
    assert min(ends) < max(ends)
    assert_same(place.fit(patient, seeds=SEEDS), undisturbed(patient, seeds=SEEDS))
    assert place.said == [f"goes on after epoch {min(ends)} of {epochs}, begun then"]


def test_where_seeds_lost_patience_before_the_end_more_of_it_begins_anew(place):
    """Unless one asked to keep checkpoints, only that of the end is there."""
    ends = [r.epochs for r in undisturbed(budget(epochs=30, patience=1, learning_rate=0.1), seeds=SEEDS)]
    impatient, patient = (budget(epochs=min(ends) + 1, patience=p, learning_rate=0.1) for p in (1, 3))
    place.fit(impatient, seeds=SEEDS)
    assert place.kept
    assert_same(place.fit(patient, seeds=SEEDS), undisturbed(patient, seeds=SEEDS))
    assert place.said == []


def test_smaller_budgets_begin_anew(place):
    how = budget(epochs=20, learning_rate=0.1)
    place.fit(how, seconds=0.0, keep=True, seeds=SEEDS)
    assert len(place.kept) == 1
    for smaller in ({"epochs": 3}, {"patience": 1}):
        less = how.model_copy(update=smaller)
        assert_same(place.fit(less, seconds=0.0, seeds=SEEDS), undisturbed(less, seeds=SEEDS))
        assert place.said == []


@pytest.mark.parametrize(
    ("how", "keep", "left"), [({}, False, 1), ({"patience": 1}, False, 0), ({"patience": 1}, True, 1)]
)
def test_a_checkpoint_is_left_where_epochs_ended_or_one_asked(place, how, keep, left):
    results = place.fit(budget(epochs=40, learning_rate=0.1, **how), keep=keep)
    assert {result.stopped for result in results} == {"patience" if how else "budget"}
    assert len(place.kept) == left


def test_a_short_training_leaves_a_checkpoint_where_one_asked(place):
    place.fit(budget(), seconds=300.0)
    assert place.kept == []
    place.fit(budget(), seconds=300.0, keep=True)
    assert len(place.kept) == 1


# files


def tampered(file, content):
    file.write_bytes(content(file.read_bytes()))


WRONG = {
    "is no safetensors file": lambda content: content[: len(content) // 2],
    "its checksum differs": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "is no safetensors file ": lambda content: b"",
    "is no safetensors file  ": lambda content: b"\x80\x04K\x01.",
}


@pytest.mark.parametrize(("reason", "wrong"), WRONG.items())
def test_a_damaged_checkpoint_is_named_and_not_used(place, reason, wrong):
    place.cut(budget(), 2)
    (file,) = place.files
    tampered(file, wrong)
    assert_same(place.fit(budget()), undisturbed(budget()))
    (said,) = place.said
    assert said.startswith(f"the checkpoint '{file}' ")
    assert reason.strip() in said
    assert said.endswith("; it is not used")


def changed(file, **facts):
    """The file of a checkpoint as another library would have written it."""
    text, tensors = read_described(file)
    write_described(tensors, json.dumps({**json.loads(text), **facts}), file)


@pytest.mark.parametrize(
    ("name", "value"), [("lvmbench", "0.0.1"), ("torch", "1.0"), ("device", "cuda"), ("format", 0)]
)
def test_a_foreign_checkpoint_is_named_and_not_used(place, name, value):
    place.cut(budget(), 2)
    (file,) = place.files
    text, _ = read_described(file)
    made = json.loads(text)["made"]
    changed(file, made={**made, name: value})
    assert_same(place.fit(budget()), undisturbed(budget()))
    assert place.said == [
        f"the checkpoint '{file}' was made with {name} {value}, not {made[name]}; it is not used"
    ]


def test_nothing_begins_where_checkpoints_of_its_runs_are_of_other_versions(place):
    place.cut(budget(), 2)
    (file,) = place.files
    made = json.loads(read_described(file)[0])["made"]
    expect_own(place.folder, {run(0, budget())})
    changed(file, made={**made, "torch": "1.0"})
    expect_own(place.folder, {"another run"})
    with pytest.raises(UserError, match="was made with torch 1.0, not .*; go on with those, or delete it"):
        expect_own(place.folder, {run(0, budget())})


def test_a_checkpoint_of_other_parts_is_not_used(place):
    """As where a component was changed, and its version was not."""
    place.cut(budget(), 2)
    other = PLAIN.replace("hidden=8", "hidden=9")
    assert_same(place.fit(budget(), method=other), undisturbed(budget(), method=other))
    assert place.said == [f"the checkpoint '{place.files[0]}' is of other parts; it is not used"]


def test_a_checkpoint_is_removed_with_the_last_of_its_runs(place):
    how, ended = budget(), set()
    place.cut(how, 2, seeds=(0, 1, 2))
    place.cut(how, 3, seeds=(1,))
    pack, own = sorted(place.files, key=lambda file: file.stat().st_size, reverse=True)
    for seed in (1, 0, 2):
        assert pack.exists()
        ended.add(run(seed, how))
        remove(place.folder, [run(seed, how)], lambda keys: ended >= {*keys})
    assert not own.exists()
    assert not pack.exists()


def test_what_a_kill_left_of_a_file_is_removed(place):
    place.cut(budget(), 2)
    (file,) = place.files
    (place.folder / f".{file.name}.0123.partial").write_bytes(b"half")
    place.fit(budget())
    assert list(place.folder.glob(".*")) == []


def test_where_nothing_can_be_written_it_trains_all_the_same(place):
    place.folder.write_text("a file, where a folder is to be")
    assert_same(place.fit(budget()), undisturbed(budget()))
    (said,) = place.said
    assert said.startswith("no checkpoint can be written, and it goes on without: ")
