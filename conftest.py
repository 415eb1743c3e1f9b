"""Set-up shared by tests and doctests:
one thread, a fixed random state, and a guard on torch's global settings.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _global_state_is_left_alone(doctest_namespace: dict[str, object]) -> Iterator[None]:
    doctest_namespace["torch"] = torch
    before = torch.get_default_dtype(), torch.get_num_threads()
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)  # torch.manual_seed notes the stack for each device, too
        yield
    assert (torch.get_default_dtype(), torch.get_num_threads()) == before, (
        "global torch settings were changed"
    )
