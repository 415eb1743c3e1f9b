"""Components that do to their process what nobody foresaw: their records show it, and the rest completes."""

import pytest

from lvmbench.noise import derive

PARTS = """
import ctypes, os, signal, time, torch, lvmbench
from lvmbench import DiagonalNormal, Posterior

class Own(BaseException):
    pass

class Mute(Exception):
    def __str__(self):
        raise KeyboardInterrupt

class Base(Posterior):
    distribution = DiagonalNormal
    made = 0
    def __init__(self, data, space):
        super().__init__()
        self.loc = torch.nn.Parameter(torch.zeros(space.event_shape))
    def forward(self, x, model):
        if x.requires_grad or torch.is_grad_enabled():
            self.act()
        return DiagonalNormal(self.loc.expand(len(x), -1), torch.zeros(()))

def posterior(act):
    return type("Made", (Base,), {"act": staticmethod(act), "__doc__": "A posterior."})

def throw(error):
    raise error

ACTS = {
    "exits": lambda: os._exit(0),
    "dies": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crashes": lambda: ctypes.string_at(0),
    "interrupts": lambda: throw(KeyboardInterrupt()),
    "leaves": lambda: throw(GeneratorExit()),
    "owns": lambda: throw(Own("mine")),
    "mutes": lambda: throw(Mute()),
    "garbles": lambda: throw(ValueError("a\\ud800b\\0c\\x1b[31md" + "long " * 10**6)),
    "floods": lambda: (os.write(1, b"x" * 10**6), throw(ValueError("flooded"))),
    "moves": lambda: (os.chdir("/"), os.environ.clear()),
    "sleeps": lambda: ctypes.PyDLL(None).sleep(1000),
}

class Picky(Base):
    def __init__(self, data, space):
        super().__init__(data, space)
        if torch.initial_seed() == SEED:
            raise KeyError("not this one")
    def act(self):
        pass

@lvmbench.hookimpl
def lvmbench_register(register):
    for name, act in ACTS.items():
        register.posterior(name, posterior(act))
    register.posterior("picky", Picky)
"""
FATES = {
    "exits": ("killed", "the worker process ended by itself (exit code 0)"),
    "dies": ("killed", "the worker process was killed (signal 9, SIGKILL)"),
    "crashes": ("killed", "the worker process was killed (signal 11, SIGSEGV)"),
    "interrupts": ("failed", "KeyboardInterrupt"),
    "leaves": ("failed", "GeneratorExit"),
    "owns": ("failed", "Own: mine"),
    "mutes": ("failed", "Mute: (its message cannot be had: KeyboardInterrupt)"),
    "garbles": ("failed", r"ValueError: a\ud800b\x00c\x1b[31mdlong long"),
    "floods": ("failed", "ValueError: flooded"),
    "moves": ("ok", "the environment variable"),
    "gaussian[hidden=8]": ("ok", ""),
}
ONE = {"priors": ["standard_normal"], "seeds": [0, 1]}


@pytest.mark.slow
def test_every_record_says_what_became_of_its_run(tiny, capfd):
    plugin = tiny.plugin("faulty_parts", PARTS.replace("SEED", "0"))
    tiny.run(plugins=[plugin], jobs=2, posteriors=[*FATES], **ONE)
    records = tiny.frame(details=True)
    assert len(records) == 2 * len(FATES)
    for _, row in records.iterrows():
        status, reason = FATES[row["posterior"]]
        assert row["status"] == status, (row["posterior"], row["reason"])
        assert reason in row["reason"], row["posterior"]
        assert len(row["reason"]) < 1200
    assert set(tiny.frame("evaluations")["status"]) == {"ok"}
    assert records.set_index("posterior").loc["floods", "log"].str.startswith("x").all()
    assert "xxxx" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_what_hangs_is_ended_and_the_rest_completes(tiny):
    plugin = tiny.plugin("hanging_parts", PARTS.replace("SEED", "0"))
    what = {"posteriors": ["sleeps", "gaussian[hidden=8]"], **ONE, "seeds": [0]}
    tiny.run(plugins=[plugin], jobs=2, options={"timeout": 30}, **what)
    assert tiny.frame().set_index("posterior")["status"].to_dict() == {
        "sleeps": "timeout",
        "gaussian[hidden=8]": "ok",
    }


def test_a_seed_whose_parts_cannot_be_built_fails_alone(tiny):
    plugin = tiny.plugin("picky_part", PARTS.replace("SEED", str(derive(1, "weights"))))
    tiny.run(plugins=[plugin], posteriors=["picky"], priors=["standard_normal"], seeds=[0, 1, 2])
    records = tiny.frame(details=True)
    assert records["status"].tolist() == ["ok", "failed", "ok"]
    assert records["reason"].tolist() == ["", "KeyError: 'not this one'", ""]
    assert "Traceback" in records["traceback"].iloc[1]
    assert records["pack"].tolist()[::2] == [2, 2]


EVALUATORS = """
import os, lvmbench
from lvmbench import Evaluator, Measurement, Metric

class Dying(Evaluator):
    metrics = {"figure": Metric("Figure", "nats", "higher", "a figure")}
    def evaluate(self, subject):
        os._exit(0)

class Talking(Dying):
    def evaluate(self, subject):
        yield Measurement("figure", 1.0, variant="a\\ud800\\0\\x1b[31m" + "b" * 10**6)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.evaluator("dying", Dying)
    register.evaluator("talking", Talking)
"""


@pytest.mark.slow
def test_an_evaluator_that_kills_its_worker_costs_no_other_its_figures(tiny):
    plugin = tiny.plugin("faulty_evaluators", EVALUATORS)
    tiny.run(plugins=[plugin], jobs=1, evaluators=["tightness[samples=20]", "dying", "clustering"], **ONE)
    found = tiny.frame("evaluations").groupby("evaluator")["status"].agg(list).to_dict()
    assert found == {
        "tightness[samples=20]": ["ok", "ok"],
        "dying": ["killed", "killed"],
        "clustering": ["ok", "ok"],
    }


def test_what_an_evaluator_calls_its_figures_can_be_stored_and_shown(tiny):
    plugin = tiny.plugin("talking_evaluator", EVALUATORS)
    tiny.run(plugins=[plugin], evaluators=["talking"], priors=["standard_normal"], seeds=[0])
    (variant,) = tiny.frame("measurements")["variant"]
    assert variant.startswith(r"a\ud800\x00\x1b[31mbbb")
    assert len(variant) <= 200
