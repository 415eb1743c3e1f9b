"""The store of raw files, against a real server."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pooch
import pytest

from lvmbench.data.files import RawFile, data_home, fetch, present, unpacked
from lvmbench.errors import UserError

CONTENT = b"pixels"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LVMBENCH_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "images.gz").write_bytes(CONTENT)
    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served"))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # how often it looks for its end
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def put(home: Path, content: bytes, name: str = "images.gz") -> Path:
    path = home / "set" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def refusal(file: RawFile) -> str:
    with pytest.raises(UserError) as error:
        fetch(file)
    message = str(error.value)
    assert "\n" not in message
    assert all(part in message for part in (str(data_home() / file.path), file.digits, file.url))
    return message


def test_the_folder_is_the_variable_or_the_users_cache(monkeypatch):
    monkeypatch.setenv("LVMBENCH_DATA", "~/sets")
    assert data_home() == Path.home() / "sets"
    monkeypatch.delenv("LVMBENCH_DATA")
    assert data_home() == Path(pooch.os_cache("lvmbench"))


def test_a_present_file_needs_no_network(home):
    path = put(home, CONTENT)
    assert fetch(RawFile("set/images.gz", SHA256, "http://127.0.0.1:9/none")) == path


def test_a_present_file_may_be_gzipped(home):
    file = RawFile("set/images.txt", SHA256, "http://127.0.0.1:9/none")
    assert present(file) is None
    path = put(home, gzip.compress(CONTENT, mtime=9), "images.txt.gz")
    assert present(file) == fetch(file) == path
    assert unpacked(path) == CONTENT


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(CONTENT, mtime=9)[:-9], gzip.compress(b"other", mtime=9), CONTENT, b""],
    ids=["cut short", "other content", "not packed", "empty"],
)
def test_a_gzipped_file_of_other_content_is_refused(home, packed):
    put(home, packed, "images.txt.gz")
    assert "images.txt.gz' has sha256" in refusal(
        RawFile("set/images.txt", SHA256, "http://127.0.0.1:9/images.txt")
    )


def test_a_missing_file_is_downloaded_once(home, url):
    file = RawFile("set/images.gz", SHA256, f"{url}/images.gz")
    assert fetch(file).read_bytes() == CONTENT
    assert fetch(RawFile(file.path, SHA256, "http://127.0.0.1:9/none")) == home / file.path


def test_a_present_file_with_another_checksum_is_refused_and_kept(home, url):
    path = put(home, b"something else")
    message = refusal(RawFile("set/images.gz", SHA256, f"{url}/images.gz"))
    assert hashlib.sha256(b"something else").hexdigest() in message
    assert path.read_bytes() == b"something else"


@pytest.mark.parametrize(
    ("page", "sha256"), [("images.gz", "0" * 64), ("none.gz", SHA256)], ids=["hash", "404"]
)
def test_a_wrong_download_is_refused_and_leaves_nothing(home, url, page, sha256):
    message = refusal(RawFile("set/images.gz", sha256, f"{url}/{page}"))
    assert ("404" if page == "none.gz" else SHA256) in message
    assert [p for p in home.rglob("*") if p.is_file()] == []


def test_without_a_server_the_error_says_what_to_do(home):
    assert "ConnectionError" in refusal(RawFile("set/images.gz", SHA256, "http://127.0.0.1:9/images.gz"))


def test_a_folder_that_cannot_be_made_is_a_user_error(home, url):
    home.write_text("a file, not a folder")
    refusal(RawFile("set/images.gz", SHA256, f"{url}/images.gz"))
