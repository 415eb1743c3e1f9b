"""What is registered, and what comes of importing it: found where plugins can end nothing but a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lvmbench.errors import Unavailable
from lvmbench.execution.asking import Mistake, Question, answered, ask
from lvmbench.execution.executor import Executor, Tell, Work
from lvmbench.registry.catalogue import Catalogue, Entry, PluginProblem
from lvmbench.registry.loader import PluginSelection, any_foreign, load_catalogue

if TYPE_CHECKING:
    from lvmbench.checks.report import Report
    from lvmbench.data.files import RawFile

LISTED, USABLE, FILES, RAW, CHECKED = (
    f"{__name__}:{name}" for name in ("listed", "usable", "files", "raw", "checked")
)


@dataclass(frozen=True)
class Registered:
    """What is known of one registered name without importing it."""

    kind: str
    name: str
    plugin: str
    distribution: str
    version: str
    summary: str

    @classmethod
    def of(cls, entry: Entry) -> Registered:
        """What is known of an entry."""
        return cls(entry.kind, entry.name, entry.plugin, entry.distribution, entry.version, entry.summary)

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"{self.kind} '{self.name}'"

    @property
    def row(self) -> dict[str, str]:
        """The same as an object of JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Listing:
    """What is registered, in the order of kinds and then of names, and what is wrong with plugins."""

    registered: tuple[Registered, ...]
    problems: tuple[PluginProblem, ...]

    @classmethod
    def of(cls, catalogue: Catalogue) -> Listing:
        """What a catalogue holds."""
        return cls(tuple(map(Registered.of, catalogue.entries())), catalogue.problems)

    def of_kind(self, kind: str | None) -> list[Registered]:
        """What is registered of one kind, or all."""
        return [one for one in self.registered if kind in (None, one.kind)]


def survey(work: Work, selection: PluginSelection, about: Any = None, *, foreign: bool = False) -> Any:
    """What some work finds out about the plugins of a selection.

    It is done here where they are all lvmbench's own, and else, or where what it is ``about`` is ``foreign``,
    in a process that they may end: a plugin that does so, or takes too long, is a problem of its own. Raises
    `UserError` where there is no answer.
    """
    with place(foreign=foreign or any_foreign(selection)) as executor:
        return ask(executor, work, (selection, about), "plugins cannot be looked at")


def place(*, foreign: bool) -> Executor:
    """Where it is found out."""
    from lvmbench.execution.local import HereExecutor, LocalExecutor

    return LocalExecutor(1) if foreign else HereExecutor()


def found(question: Question, tell: Tell, find: Callable[[Catalogue, Any], Any]) -> Any:
    """What is found in the catalogue of the plugins that are asked about, or what the user did wrong."""
    return answered(question, tell, lambda asked: find(load_catalogue(asked[0]), asked[1]))


def listed(question: Question, tell: Tell) -> Listing | Mistake:
    """What is registered."""
    answer: Listing | Mistake = found(question, tell, lambda catalogue, _: Listing.of(catalogue))
    return answer


def usable(question: Question, tell: Tell) -> tuple[Listing, list[str]] | Mistake:
    """What is registered, and why components of it cannot be used."""
    answer: tuple[Listing, list[str]] | Mistake = found(question, tell, _usable)
    return answer


def _usable(catalogue: Catalogue, about: None) -> tuple[Listing, list[str]]:
    components = (entry for entry in catalogue.entries() if entry.kind != "suite")
    return Listing.of(catalogue), [trouble for entry in components if (trouble := _trouble(entry))]


def _trouble(entry: Entry) -> str:
    """Why a component cannot be used, if so."""
    try:
        entry.load()
    except Unavailable as error:
        return str(error)
    return ""


def files(question: Question, tell: Tell) -> dict[str, str] | Mistake:
    """What is here of the raw files of each data set."""
    answer: dict[str, str] | Mistake = found(
        question, tell, lambda catalogue, _: {e.name: _files(e) for e in catalogue.entries("dataset")}
    )
    return answer


def _files(entry: Entry) -> str:
    from lvmbench.data.files import present

    try:
        raw = entry.load().files
    except Unavailable as error:
        return f"unavailable: {error}"
    here = sum(present(file) is not None for file in raw)
    return f"{here} of {len(raw)} raw files here" if raw else "generated, built in or yours: no raw files"


def raw(question: Question, tell: Tell) -> Sequence[RawFile] | Mistake:
    """The raw files of a data set, by its name."""
    answer: Sequence[RawFile] | Mistake = found(
        question, tell, lambda catalogue, name: catalogue.entry("dataset", name).load().files
    )
    return answer


def checked(question: Question, tell: Tell) -> tuple[tuple[PluginProblem, ...], Report] | Mistake:
    """What the checks of a target find, of its kind and with these names where any are given."""
    answer: tuple[tuple[PluginProblem, ...], Report] | Mistake = found(question, tell, _checked)
    return answer


def _checked(
    catalogue: Catalogue, about: tuple[str, str | None, Sequence[str] | None]
) -> tuple[tuple[PluginProblem, ...], Report]:
    from lvmbench.checks import check

    target, kind, only = about
    return catalogue.problems, check(target, catalogue=catalogue, kind=kind, only=only)
