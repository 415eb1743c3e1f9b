"""Databases for tests: empty ones of each kind, and a PostgreSQL server of their own."""

import os
import shutil
import subprocess
import tempfile
import uuid

import pytest
import sqlalchemy as sa

from lvmbench.results.store import Store


def server(folder, *, anew=True):
    """Start a PostgreSQL server in a folder, anew or again, as its own user where this is root.

    Its URL, and how to stop it.
    """
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    def do(*command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, user=user)

    data, control = f"{folder}/data", ("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log")
    if anew:
        do("initdb", "-D", data, "-E", "UTF8", "--locale=C", "-U", "postgres", "-A", "trust", "--no-sync")
    do(*control, "-o", f"-k {folder} -c listen_addresses='' -c fsync=off", "start")
    return f"postgresql://postgres@/postgres?host={folder}", lambda: do(*control, "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def postgres():
    """The URL of a PostgreSQL server that tests may make databases on."""
    pytest.importorskip("psycopg", reason="PostgreSQL needs psycopg: pip install 'lvmbench[postgres]'")
    if url := os.environ.get("LVMBENCH_TEST_POSTGRES"):
        yield url
        return
    if not (shutil.which("initdb") and shutil.which("pg_ctl")):
        pytest.skip("no PostgreSQL: put initdb and pg_ctl on the path or set LVMBENCH_TEST_POSTGRES to a URL")
    folder = tempfile.mkdtemp(prefix="lvmbench-pg-", dir="/tmp")  # short, for the name of the socket
    try:
        url, stop = server(folder)
        yield url
        stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.sqlite'}"
        return
    home, name = sa.make_url(request.getfixturevalue("postgres")), f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(home, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield home.set(database=name).render_as_string(hide_password=False)
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture
def store(url):
    store = Store(url)
    yield store
    store.close()
