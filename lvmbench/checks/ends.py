"""The check of options at the ends of their ranges."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch

from lvmbench.checks.contract import Violation, applies, contract, require
from lvmbench.checks.options import ends, narrowed, small
from lvmbench.checks.partners import LIMIT
from lvmbench.checks.specimen import Specimen, Trial, stream
from lvmbench.checks.subjects import subject_of
from lvmbench.errors import Refusal, UserError
from lvmbench.kinds import COMPONENTS
from lvmbench.noise import Recorder
from lvmbench.registry.names import Ref


@contract(
    *COMPONENTS,
    due="Each option works at each end of its range and with each of its named choices, or is refused.",
    read="options",
    once=True,
)
def options_work_at_their_ends(specimen: Specimen) -> None:
    found = list(ends(specimen.cls))
    applies(bool(found), "it has no options with a range or choices")
    base = {**small(specimen.cls, LIMIT), **specimen.ref.options}
    for option, value in found:
        try:
            _try(_with(specimen, base, option, value))
        except (Refusal, UserError):  # said why
            continue
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise Violation(
                f"with {option}={value} it raised {type(error).__name__}: {text}",
                _advice(specimen, base, option, value),
            ) from error


def _advice(specimen: Specimen, base: dict[str, Any], option: str, value: Any) -> str:
    """How to write the option's type, without what does not work."""

    def works(other: Any) -> bool:
        with suppress(Exception):
            _try(_with(specimen, base, option, other))
            return True
        return False

    annotation = narrowed(specimen.cls, option, value, works)
    return (
        f"narrow the range of '{option}' to what works, {option}: {annotation}, or raise lvmbench.Refusal "
        "with the reason"
    )


def _with(specimen: Specimen, base: dict[str, Any], option: str, value: Any) -> Specimen:
    return Specimen(specimen.bench, specimen.entry, Ref(specimen.ref.name, {**base, option: value}))


def _try(specimen: Specimen) -> None:
    if specimen.kind == "dataset":
        built = specimen.build()
        if not built.files:  # raw files may be absent, and large
            built.load()
    elif specimen.kind == "evaluator":
        list(specimen.build().evaluate(subject_of(specimen)))
    else:
        case = specimen.bench.find({specimen.kind: specimen.ref})
        outs: Any = Trial.of(specimen.kind, case)(Recorder(stream("ends"))) if case else ()
        require(all(bool(torch.as_tensor(out).isfinite().all()) for out in outs), "a result is not finite")
