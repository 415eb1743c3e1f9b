"""What is written and read again: results in their directories, models as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvmbench.api.fitted import Fitted
from lvmbench.api.results import Results
from lvmbench.api.saved import contents, load_fitted, read_model, write_model
from lvmbench.combinations.given import Given
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import PARTS
from lvmbench.registry.loader import PluginSelection
from lvmbench.results.consent import Consent
from lvmbench.results.folder import is_published

if TYPE_CHECKING:
    from lvmbench.api.sklearn import LatentVariableModel


def save(model: Fitted | LatentVariableModel, path: str | Path) -> None:
    """Write a fitted model to a file that `load` reads: its weights as safetensors, all else as JSON.

    All else, in the header, is components with their options and versions, the seed, the learning curve and a
    summary of the data; of an estimator of `lvmbench.sklearn` also its parameters. The file has no data in
    it, and no code.

    Arguments:
        model: What `fit` or ``Results.fitted`` returned, or a fitted `lvmbench.sklearn.LatentVariableModel`.
        path: The file; folders that are missing are made.

    Raises `UserError` where it cannot be written, or an estimator has parameters that JSON cannot hold.
    """
    if isinstance(model, Fitted):
        write_model(Path(path), *contents(model))
    else:
        from lvmbench.api.estimator_files import contents_of

        write_model(Path(path), *contents_of(model))


def load(
    path: str | Path,
    *,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
    trust: bool = False,
    **given: Given,
) -> Any:
    """What was written: the `Results` in a directory of `run` or of a published board, or the model in a
    file of `save`, a `Fitted` or an estimator of `lvmbench.sklearn`.

    Arguments:
        path: The directory or the file.
        device: Where the model is put: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        plugins: Local plugins that components come from, as files or modules.
        trust: Whether plugins that the results name may be imported without being given. They are code;
            tables and boards are read without them.
        given: Components of the model that are not registered, under the names that `fit` has for them:
            ``data``, ``prior``, ...

    Raises `UserError` where there is neither, or where components or data are not those of the model.
    """
    path, parts = Path(path), _by_kind(given)
    if path.is_file():
        saved, tensors = read_model(path)
        if "estimator" not in saved:
            return load_fitted(path, saved, tensors, parts, device, plugins)
        from lvmbench.api.estimator_files import restored

        return restored(path, saved, tensors, parts, device, plugins)
    if not (path / "store.sqlite").is_file() and not is_published(path):
        raise UserError(f"'{path}' holds no results (it has no store.sqlite); make some with lvmbench.run")
    return Results(path, consent=Consent(PluginSelection.of(plugins), trust))


def _by_kind(given: Mapping[str, Given]) -> dict[str, Given]:
    """Components given under the names that `fit` has for them, by kind."""
    kinds = {"data" if kind == "dataset" else kind: kind for kind in PARTS}
    if wrong := sorted(given.keys() - kinds):
        raise UserError(f"there is no argument '{wrong[0]}'{nearest(wrong[0], kinds)}")
    return {kinds[name]: component for name, component in given.items()}
