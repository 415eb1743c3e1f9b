"""Who has which run in hand: so several processes, on one machine or on many, divide a suite's runs."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import sqlalchemy as sa

from lvmbench.errors import UserError
from lvmbench.results.connection import Database
from lvmbench.results.database import LEASES

LEASE, BEAT = 120.0, 20.0
"""Seconds that a lease lasts without a sign of life, and between two signs."""


class Leases:
    """The runs that one process has in hand, for as long as it lives.

    A sign of life is given in a thread of its own. What a process leaves when it is killed is taken over: at
    once by others in the same place, which see that it is dead, and elsewhere when its lease has expired.

    Arguments:
        database: Where the runs are.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._over = database, threading.Event()
        self.owner = f"{_place()}/{os.getpid()}/{_start(os.getpid())}/{uuid4().hex}"
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        with suppress(UserError), self._database.writing() as connection:
            connection.execute(sa.delete(LEASES).where(LEASES.c.owner == self.owner))

    def take(self, keys: Collection[str]) -> set[str]:
        """Take those of these runs that nobody else has in hand."""
        with self._database.writing() as connection:
            now = _now(connection)
            there = connection.execute(sa.select(LEASES).where(LEASES.c.key.in_(keys))).all()
            others = {
                r.key for r in there if r.owner != self.owner and r.expires > now and not _dead(r.owner)
            }
            mine = set(keys) - others
            connection.execute(sa.delete(LEASES).where(LEASES.c.key.in_(mine)))
            if mine:
                rows = [{"key": key, "owner": self.owner, "expires": now + LEASE} for key in mine]
                connection.execute(sa.insert(LEASES), rows)
        return mine

    def give_back(self, keys: Iterable[str]) -> None:
        """Let go of runs: what was to do for them is done."""
        with self._database.writing() as connection:
            mine = LEASES.c.key.in_(list(keys)) & (LEASES.c.owner == self.owner)
            connection.execute(sa.delete(LEASES).where(mine))

    def renew(self) -> None:
        """Give a sign of life."""
        with self._database.writing() as connection:
            mine = sa.update(LEASES).where(LEASES.c.owner == self.owner)
            connection.execute(mine.values(expires=_now(connection) + LEASE))

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            with suppress(UserError):  # out of reach: the next one may get through
                self.renew()


def holds(connection: sa.Connection, key: str, owner: str) -> bool:
    """Whether a run is in the hands of this owner."""
    mine = sa.select(LEASES.c.key).where(LEASES.c.key == key, LEASES.c.owner == owner)
    return connection.execute(mine).first() is not None


def _now(connection: sa.Connection) -> float:
    """The time by one clock for all who share the database."""
    if connection.dialect.name == "sqlite":
        return time.time()
    now: datetime = connection.scalars(sa.select(sa.func.now())).one()
    return (now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp()


def _place() -> str:
    """Where process numbers mean what they mean here: a machine, or a container on it."""
    with suppress(OSError):
        return f"{platform.node()}:{os.readlink('/proc/self/ns/pid')}"
    return platform.node()


def _start(process: int) -> str:
    """When a living process started, as its system has it: numbers of processes are given again."""
    with suppress(OSError):
        state, *_, start = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:20]
        return "" if state == "Z" else start
    return ""


def _dead(owner: str) -> bool:
    """Whether an owner in this place is no more."""
    place, process, start, _ = owner.rsplit("/", 3)
    if place != _place():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, as another user
        pass
    return _start(int(process)) != start
