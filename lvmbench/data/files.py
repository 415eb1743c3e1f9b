"""The store of raw files: one folder, each file known by its checksum."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch

from lvmbench.errors import UserError


@dataclass(frozen=True)
class RawFile:
    """A raw file: its path inside the data folder, its sha256, and the URL it is published at.

    It may also lie there gzipped, with ``.gz`` after its name; the checksum is then that of what is inside.
    """

    path: str
    sha256: str
    url: str


def data_home() -> Path:
    """The data folder: ``LVMBENCH_DATA``, else a folder in the user's cache."""
    return Path(os.environ.get("LVMBENCH_DATA") or pooch.os_cache("lvmbench")).expanduser()


def present(file: RawFile) -> Path | None:
    """Where a raw file is, as it is or gzipped, whatever it holds; None where it is missing."""
    plain = data_home() / file.path
    return next((path for path in (plain, _gzipped(plain)) if path.is_file()), None)


def fetch(file: RawFile) -> Path:
    """The local copy of a raw file, as it is or gzipped, downloaded where it is missing.

    Raises `UserError` where the copy there is another file, or where it is missing and cannot be downloaded.
    """
    path = present(file)
    if path is None:
        return _download(file, data_home() / file.path)
    found = _sha256(path, gzipped=path.name != Path(file.path).name)
    if found != file.sha256:
        raise UserError(
            f"raw file '{path}' has sha256 {found}, expected {file.sha256}; "
            f"move it away and it is downloaded anew from {file.url}"
        )
    return path


def unpacked(path: Path) -> bytes:
    """What is in a file, which is gzipped where its name ends in ``.gz``."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def _gzipped(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _sha256(path: Path, gzipped: bool) -> str:
    """The checksum of a file or of what is gzipped in it, or why that has none."""
    try:
        with gzip.open(path) if gzipped else path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return f"'{error}'"


def _download(file: RawFile, target: Path) -> Path:
    whole = pooch.HTTPDownloader(stream=False)  # a stream that fails leaves its connection open
    name, folder = target.name, target.parent
    try:
        pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=name, path=folder, downloader=whole)
    except (OSError, ValueError) as error:  # no network, no such page, no room, or another checksum
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"raw file '{target}' is missing and its download failed ({reason}); "
            f"put the file with sha256 {file.sha256} there, from {file.url}"
        ) from error
    return target
