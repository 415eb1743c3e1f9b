"""The way to a database of results: opening it, taking turns in it, and saying what is wrong with it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from lvmbench.errors import UserError
from lvmbench.results.database import META, METADATA, MIGRATIONS, SCHEMA_VERSION, called


class OutOfReach(UserError):  # noqa: N818
    """A database that does not answer now, though it may again."""


class Database:
    """A database with the tables of results, let go of at the end of a ``with``.

    Several processes may write to it. One in a folder that cannot be written to is read from a copy.

    Arguments:
        url: An SQLAlchemy URL. Every method raises `UserError` where the database cannot be used.
    """

    def __init__(self, url: str | sa.URL) -> None:
        self._scratch = ExitStack()
        try:
            parsed = sa.make_url(url)
            self.url, self.file = called(parsed), _file(parsed)
            self._engine = sa.create_engine(_readable(parsed, self.file, self._scratch))
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            raise _unusable("it was given", error) from None
        sa.event.listen(self._engine, "handle_error", self._complain)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _use_wal)
        try:
            self._create()
            self._migrate()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()
        self._scratch.close()

    def expect_there(self) -> None:
        """Raise `UserError` where its file is gone: what is written to it now would be lost."""
        if self.file and not self.file.exists():
            raise UserError(
                f"the store {self.url} was removed while it was in use; the same command does anew what was "
                "in it alone, as the weights are still there"
            )

    def damaged(self, what: str) -> UserError:
        """The error that says that the store holds what lvmbench has not written."""
        return UserError(
            f"the store {self.url} was changed by hand or is damaged: {what}; bring back a copy, or run the "
            "suite again in another directory"
        )

    def noted(self, name: str, default: Any) -> Any:
        """A fact about the store that is more than a word."""
        text = self.meta().get(name)
        try:
            return default if text is None else json.loads(text)
        except ValueError as error:
            raise self.damaged(f"its {name} are no JSON ({error})") from error

    def meta(self) -> dict[str, str]:
        """Facts about the store: schema, suite, version, ranking metric."""
        with self.reading() as connection:
            return dict(iter(connection.execute(sa.select(META))))

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads; raises `UserError` for what makes no sense."""
        with self._engine.connect() as connection:
            try:
                yield connection
            except ValueError as error:
                raise self.damaged(_cause(error)) from error

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that other writers wait for: to update a row takes its turn, in every database."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(META).where(META.c.key == "schema").values(value=META.c.value))
            yield connection

    def _complain(self, context: sa.ExceptionContext) -> None:
        """Say in one line that the database is broken, full, locked or out of reach."""
        error = context.original_exception
        if context.is_disconnect or (context.connection is None and not self.file):
            raise OutOfReach(
                f"the store {self.url} cannot be used: {_cause(error)}; start its server or check the URL"
            )
        if not isinstance(context.sqlalchemy_exception, sa.exc.IntegrityError):
            raise _unusable(self.url, error)

    def _create(self) -> None:
        """Make the tables where they are not all there; the schema's number is written last."""
        if sa.inspect(self._engine).has_table(META.name) and "schema" in self.meta():
            return
        try:
            self._make_tables()
        except sa.exc.IntegrityError:  # another process made them at the same moment
            self._make_tables()

    def _make_tables(self) -> None:
        with self._engine.begin() as connection:
            _make_tables(connection)
            fresh = sa.select(sa.literal("schema"), sa.literal(SCHEMA_VERSION)).where(
                ~sa.exists(sa.select(META))
            )
            connection.execute(sa.insert(META).from_select(["key", "value"], fresh))

    def _migrate(self) -> None:
        """Bring the tables of an older schema up to this one's; raises `UserError` for others."""
        schema = self.meta().get("schema", "")
        if schema == SCHEMA_VERSION:
            return
        if schema not in MIGRATIONS:
            raise UserError(
                f"the store {self.url} has schema {schema}, this lvmbench writes {SCHEMA_VERSION}; "
                "use a new --out"
            )
        with self.writing() as connection:
            number = sa.select(META.c.value).where(META.c.key == "schema")
            while (schema := str(connection.scalar(number))) in MIGRATIONS:  # no more, if another did it
                for statement in MIGRATIONS[schema]:
                    connection.exec_driver_sql(statement)
                following = sa.update(META).where(META.c.key == "schema").values(value=str(int(schema) + 1))
                connection.execute(following)
            _make_tables(connection)


def _make_tables(connection: sa.Connection) -> None:
    for table in METADATA.sorted_tables:
        connection.execute(sa.schema.CreateTable(table, if_not_exists=True))


def _file(url: sa.URL) -> Path | None:
    """The file of an SQLite database."""
    local = url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}
    return Path(str(url.database)) if local else None


def _readable(url: sa.URL, file: Path | None, scratch: ExitStack) -> sa.URL:
    """The URL, or that of a copy where SQLite could not even read: it writes beside what it reads."""
    if file is None or not file.is_file() or (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        return url
    folder = Path(scratch.enter_context(tempfile.TemporaryDirectory(prefix="lvmbench-store-")))
    for part in file.parent.glob(f"{file.name}*"):
        if not part.name.endswith("-shm"):
            shutil.copyfile(part, folder / part.name)
    return url.set(database=str(folder / file.name))


def _cause(error: BaseException) -> str:
    return " ".join(str(error).split())


def _unusable(url: str, error: BaseException) -> UserError:
    full = "disk is full" in str(error) or "No space left" in str(error)
    remedy = (
        "make room, and the same command goes on" if full else "check the path or URL and its permissions"
    )
    return UserError(f"the store {url} cannot be used: {_cause(error)}; {remedy}")


def _use_wal(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA busy_timeout=60000")
    with suppress(sqlite3.OperationalError):  # another process is setting it: it stays set in the file
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
