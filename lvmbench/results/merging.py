"""Results of one suite from several directories, such as those of several machines, in one."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lvmbench.combinations.combination import COLUMNS
from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.results.baselines import baselines_in, keep_baselines, with_rows
from lvmbench.results.database import CURVES, ENVIRONMENTS, EVALUATIONS, MEASUREMENTS, NAME, RUNS
from lvmbench.results.export import export
from lvmbench.results.folder import REMARKS, remarks_in, suite_of
from lvmbench.results.glossary import keep, kept
from lvmbench.results.store import Store
from lvmbench.results.tables import write
from lvmbench.results.weights import WEIGHTS, weights_file
from lvmbench.status import SETTLED, Status

_OF_RUNS = (EVALUATIONS, MEASUREMENTS, CURVES)
_LISTED, _MAPPED = ("combinations", "evaluators", "added"), ("supports",)
"""What stores note that is put together: lists, and mappings."""


@dataclass(frozen=True)
class Merged:
    """How many runs were taken from each directory, and how many there are that several of them have."""

    taken: Mapping[Path, int]
    shared: int


@dataclass(frozen=True)
class _Source:
    """One of the directories, and its store."""

    directory: Path
    store: Store

    @property
    def suite(self) -> str:
        meta = self.store.meta()
        return f"suite '{meta.get('suite')}' version {meta.get('version')}"

    @cached_property
    def runs(self) -> list[dict[str, Any]]:
        """Every run with all that is on record of it, in the order of the plan."""
        return self.rows(RUNS, sa.true(), RUNS.c.position, RUNS.c.seed)

    def rows(self, table: sa.Table, which: Any = None, *order: Any) -> list[dict[str, Any]]:
        query = sa.select(table).where(sa.true() if which is None else which).order_by(*order)
        with self.store.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]


def merge(directories: Sequence[Path], out: Path) -> Merged:
    """Put the results of one suite together in a new directory, which appears complete or not at all.

    Of a run that several have, the first that is ok is taken with all that was found of it.

    Arguments:
        directories: Results directories, each with its store.
        out: The directory to make.

    Raises `UserError` where they are of several suites, or have trained the same run with other data or other
    versions of components, or where there is something in ``out``.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out: '{out}' is there and not empty; give another directory")
    out.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        sources = [_Source(d, opened.enter_context(Store.at(d))) for d in directories]
        _expect_alike(sources)
        chosen, runs = _chosen(sources), sum(len(source.runs) for source in sources)
        scratch = opened.enter_context(tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-"))
        made = Path(scratch) / "made"
        made.mkdir()
        _copy(sources, chosen, made)
        if out.exists():
            out.rmdir()
        made.rename(out)
    taken = {source.directory: sum(of is source for of, _ in chosen.values()) for source in sources}
    return Merged(taken, runs - len(chosen))


def _expect_alike(sources: Sequence[_Source]) -> None:
    """Refuse results of several suites, or of a suite as it was and as it is now."""
    first, *others = sources
    suite = suite_of(first.directory)
    for other in others:
        if other.suite != first.suite:
            raise UserError(
                f"'{first.directory}' holds {first.suite}, '{other.directory}' {other.suite}; "
                "merge results of one suite"
            )
        found = suite_of(other.directory)
        if changed := [k for k in {*suite, *found} - {"seeds"} if suite.get(k) != found.get(k)]:
            raise UserError(
                f"'{first.directory}' and '{other.directory}' hold {first.suite} with other "
                f"{', '.join(sorted(changed))}; a suite that is changed has another version"
            )


def _chosen(sources: Sequence[_Source]) -> dict[tuple[Any, ...], tuple[_Source, dict[str, Any]]]:
    """For each run, by what it is called, where it is taken from and what is on record of it."""
    found: dict[tuple[Any, ...], tuple[_Source, dict[str, Any]]] = {}
    for source in sources:
        for run in source.runs:
            name = tuple(run[column] for column in NAME)
            if name not in found or _is_better(run, source, *found[name]):
                found[name] = source, run
    return found


def _is_better(run: Mapping[str, Any], source: _Source, of: _Source, old: Mapping[str, Any]) -> bool:
    """Whether a run is taken instead of another of its name; raises `UserError` where both have results."""
    if run["status"] == old["status"] == Status.OK and run["key"] != old["key"]:
        name = " · ".join(str(run[kind]) for kind in PARTS)
        raise UserError(
            f"seed {run['seed']} of {name} was trained in '{source.directory}' with other data or other "
            f"versions of its components than in '{of.directory}'; merge results of the same"
        )
    return _worth(run) > _worth(old)


def _worth(run: Mapping[str, Any]) -> int:
    return 2 if run["status"] == Status.OK else int(run["status"] in SETTLED)


def _copy(
    sources: Sequence[_Source],
    chosen: Mapping[tuple[Any, ...], tuple[_Source, dict[str, Any]]],
    made: Path,
) -> None:
    shutil.copyfile(sources[0].directory / "suite.yaml", made / "suite.yaml")
    _copy_notes_on_data(sources, made)
    with Store.at(made) as store:
        _note(sources, store)
        places = dict(zip(dict.fromkeys(_combination(name) for name in chosen), count(), strict=False))
        runs = [{**run, "position": places[_combination(name)]} for name, (_, run) in chosen.items()]
        for source in sources:
            own = {run["key"] for of, run in chosen.values() if of is source}
            _insert(store, RUNS, [run for run in runs if run["key"] in own])
            for table in _OF_RUNS:
                _insert(store, table, [row for row in source.rows(table) if row["key"] in own])
            _copy_weights(source.directory / WEIGHTS, made / WEIGHTS, own)
        export(store, made)


def _combination(name: tuple[Any, ...]) -> tuple[Any, ...]:
    return name[: len(COLUMNS)]


def _insert(store: Store, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        with store.writing() as connection:
            connection.execute(sa.insert(table), list(rows))


def _note(sources: Sequence[_Source], store: Store) -> None:
    """What the stores say of themselves, put together."""
    meta = sources[0].store.meta()
    facts = {name: text for name, text in meta.items() if name not in ("schema", *_LISTED, *_MAPPED)}
    for name in _LISTED:
        entries = (json.dumps(entry) for source in sources for entry in source.store.noted(name, []))
        facts[name] = json.dumps([json.loads(entry) for entry in dict.fromkeys(entries)])
    for name in _MAPPED:
        pairs = (pair for source in sources for pair in source.store.noted(name, {}).items())
        facts[name] = json.dumps(dict(pairs))
    plugins = [source.store.noted("plugins", [[], []]) for source in sources]
    facts["plugins"] = json.dumps([list(dict.fromkeys(chain(*each))) for each in zip(*plugins, strict=True)])
    store.note(**facts)
    environments = {row["id"]: row for source in sources for row in source.rows(ENVIRONMENTS)}
    _insert(store, ENVIRONMENTS, [*environments.values()])


def _copy_notes_on_data(sources: Sequence[_Source], made: Path) -> None:
    """The remarks, the baselines and what figures are, put together."""
    if remarks := {k: v for source in sources for k, v in remarks_in(source.directory).items()}:
        write(made / REMARKS, json.dumps(remarks, indent=2) + "\n")
    baselines = baselines_in(made)
    for source in sources:
        baselines = with_rows(baselines, _records(baselines_in(source.directory)))
        if len(figures := kept(source.directory)):
            keep(figures, made)
    if len(baselines):
        keep_baselines(made, baselines)


def _records(frame: Any) -> Iterator[dict[str, Any]]:
    return ({str(k): v for k, v in row.items()} for row in frame.to_dict("records"))


def _copy_weights(folder: Path, target: Path, keys: set[str]) -> None:
    """The weights of these runs, and the figures of single data beside them."""
    target.mkdir(exist_ok=True)
    for key in keys:
        file = weights_file(folder, key)
        if file.is_file():
            shutil.copyfile(file, target / file.name)
        if file.with_suffix("").is_dir():
            shutil.copytree(file.with_suffix(""), target / file.stem)
