"""Cost: what is on record, and the speed of sampling."""

import json
import subprocess
import sys
from dataclasses import replace

import lvmbench
from lvmbench_plugins.evaluators.cost import Cost


def test_a_fitted_model_has_its_costs():
    parts = {"prior": "standard_normal", "posterior": "gaussian", "decoder": "bernoulli", "objective": "elbo"}
    fitted = lvmbench.fit(data="digits", latent=2, device="cpu", epochs=1, batch=128, **parts)
    frame = lvmbench.evaluate(fitted, "cost[samples=10]").set_index(["metric", "variant"])["value"]
    assert frame["parameters", ""] == fitted.model.parameters_count
    assert frame["train_seconds", ""] > 0
    assert frame["peak_memory", "host"] > 100  # an interpreter with torch takes more
    assert frame["samples_per_second", ""] > 0
    assert ("peak_memory", "device") not in frame
    bare = Cost(samples=10).evaluate(replace(fitted.subject(), facts={}))
    assert {m.metric for m in bare} == {"parameters", "samples_per_second"}


PEAKS = """
import json, torch
from lvmbench.training.memory import PeakMemory, keep_freed_memory
keep_freed_memory()
pieces = [torch.ones(1_000_000) for _ in range(50)]
del pieces
memory = PeakMemory(torch.device("cpu"))
before = memory.facts["peak_memory_host"]
torch.ones(50_000_000).sum()
print(json.dumps([before, memory.facts]))
"""


def test_the_peak_counts_what_was_in_use():
    """A tensor of 200 MB that was there for a moment, and not what was there before and is kept.

    In a process of its own, as one that held more before keeps that.
    """
    shown = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    before, facts = json.loads(shown.stdout)
    assert facts["peak_memory_host"] > before + 150_000_000
    assert facts["peak_memory_device"] is None
