"""The store of raw files: one folder, each file known by its checksum."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pooch

from lvmbench.errors import UserError


@dataclass(frozen=True)
class RawFile:
    """A raw file: its path inside the data folder, its sha256, and the URL it is published at."""

    path: str
    sha256: str
    url: str


def data_home() -> Path:
    """The data folder: ``LVMBENCH_DATA``, else a folder in the user's cache."""
    return Path(os.environ.get("LVMBENCH_DATA") or pooch.os_cache("lvmbench")).expanduser()


def fetch(file: RawFile) -> Path:
    """The local copy of a raw file, downloaded where it is missing.

    Raises `UserError` where the copy there is another file, or where it is missing and cannot be downloaded.
    """
    target = data_home() / file.path
    if not target.is_file():
        return _download(file, target)
    found = pooch.file_hash(str(target), alg="sha256")
    if found != file.sha256:
        raise UserError(
            f"raw file '{target}' has sha256 {found}, expected {file.sha256}; "
            f"move it away and it is downloaded anew from {file.url}"
        )
    return target


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
