"""The checkpoints of a results folder, to the runner: can they be used, and which are needed no more?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lvmbench.errors import UserError

if TYPE_CHECKING:
    from lvmbench.training.checkpoint import Checkpoint


def expect_own(folder: Path, keys: Collection[str]) -> None:
    """Raise `UserError` where the training of any of these runs was begun with other versions."""
    for file, checkpoint in all_in(folder):
        reason = checkpoint.foreign
        if reason and not {*keys}.isdisjoint(checkpoint.keys):
            raise UserError(f"the checkpoint '{file}' {reason}; go on with those, or delete it to train anew")


def remove(folder: Path, keys: Sequence[str], ended: Callable[[Sequence[str]], bool]) -> None:
    """Remove the checkpoint of the pack of these runs, and of others that they are of if all have ended."""
    file_of(folder, keys).unlink(missing_ok=True)
    for file, checkpoint in all_in(folder):
        if not {*keys}.isdisjoint(checkpoint.keys) and ended(checkpoint.keys):
            file.unlink(missing_ok=True)


def all_in(folder: Path) -> Iterator[tuple[Path, Checkpoint]]:
    """The checkpoints that can be read of those of trainings that have not ended, and their files."""
    for file in sorted(folder.glob("*.safetensors")):
        from lvmbench.training.checkpoint import Checkpoint, Unusable  # and torch, which takes a second

        try:
            yield file, Checkpoint.glance(file)
        except Unusable:
            continue


def file_of(folder: Path, keys: Sequence[str]) -> Path:
    """The file of the pack of these runs."""
    return folder / f"{hashlib.sha256(' '.join(keys).encode()).hexdigest()[:20]}.safetensors"
