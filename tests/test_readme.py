"""The README's commands, links, suite and plugin are true."""

import re
from pathlib import Path

import pytest
import torch

from lvmbench.cli.app import app
from lvmbench.registry.loader import load_catalogue
from lvmbench.suites.plan import make_plan
from lvmbench.suites.suite import load_suite

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", README, re.DOTALL).group(1)


def test_lengths():
    assert len(README.splitlines()) <= 100
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 55


def test_the_two_commands_are_the_ones_that_ci_runs():
    commands = re.findall(r"^pip install.*$", README, re.MULTILINE)
    assert commands == ["pip install . && lvmbench run quick", "pip install '.[dev]' && pytest"]
    script = (ROOT / ".ci" / "run").read_text()
    assert all(f'"{command}"' in script for command in commands)


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_suite_can_be_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{i % 7}.5,{i % 5}.25,{'ab'[i % 2]}" for i in range(40))
    Path("measurements.csv").write_text(f"length,width,kind\n{rows}\n")
    Path("mine.yaml").write_text(block("yaml"))
    catalogue = load_catalogue()
    plan = make_plan(load_suite("mine.yaml", catalogue), catalogue)
    assert [p.status for p in plan.planned] == [None] * 6
    assert not any(p.refused_evaluators for p in plan.planned)


def test_the_plugin_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("scaled_readme.py").write_text(block("python"))
    Path("tiny.yaml").write_text(
        "suite: tiny\ndatasets: ['blobs[train=64,validation=16,test=16]']\npriors: [scaled_normal]\n"
        "posteriors: [gaussian]\ndecoders: [gaussian]\nobjectives: [elbo]\nlatent: 2\nseeds: 2\n"
        "budget: {epochs: 2, batch: 32}\nevaluators: ['tightness[samples=20]']\n"
    )
    arguments = ["run", "tiny.yaml", "--out", "out", "--plugin", "scaled_readme.py", "--jobs", "0"]
    with pytest.raises(SystemExit) as end:
        app(arguments)
    assert end.value.code == 0
    assert "2 ok" in capsys.readouterr().out


def test_independent_pixels_are_what_the_readme_says():
    data = load_catalogue().build("dataset", "digits").load()
    train, x = data.splits["train"].values, data.splits["test"].values
    p = (train.sum(0) + 1) / (len(train) + 2)  # Laplace's rule
    baseline = (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1).mean()
    stated = float(re.search(r"Independent Bernoulli pixels reach (-[\d.]+)", README).group(1))
    assert torch.isclose(baseline, torch.tensor(stated), atol=0.06)
