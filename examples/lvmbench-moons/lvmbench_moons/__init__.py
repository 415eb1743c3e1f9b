"""Two moons for lvmbench: a data set, and an evaluator of samples; each is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lvmbench

if TYPE_CHECKING:
    from lvmbench import Register

LVMBENCH_API = ">=1,<2"


@lvmbench.hookimpl
def lvmbench_register(register: Register) -> None:
    register.dataset("moons", "lvmbench_moons.dataset:Moons")
    register.evaluator("energy_distance", "lvmbench_moons.evaluator:EnergyDistance")
    register.suite("moons", "lvmbench_moons:moons.yaml")
