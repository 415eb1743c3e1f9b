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
    """A raw file: its path inside the data folder, its checksum, and the URL it is published at.

    The checksum is a sha256, or where only that is known an MD5, after ``md5:``; this tells a file that was
    damaged, not one that was forged. The file may also lie there gzipped, with ``.gz`` after its name; the
    checksum is then that of what is inside. A file that is published only in another form, at this URL, is
    not downloaded: ``made`` says how to make it of that.
    """

    path: str
    checksum: str
    url: str
    made: str = ""

    @property
    def algorithm(self) -> str:
        """What the checksum is made by."""
        return "md5" if self.checksum.startswith("md5:") else "sha256"

    @property
    def digits(self) -> str:
        """The checksum in hexadecimal digits."""
        return self.checksum.removeprefix("md5:")


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
    found = _checksum(path, file)
    if found != file.digits:
        remedy = f"make it anew by {file.made}" if file.made else "it is downloaded anew"
        raise UserError(
            f"raw file '{path}' has {file.algorithm} {found}, expected {file.digits}; "
            f"move it away and {remedy} from {file.url}"
        )
    return path


def unpacked(path: Path) -> bytes:
    """What is in a file, which is gzipped where its name ends in ``.gz``."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def _gzipped(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _checksum(path: Path, file: RawFile) -> str:
    """The checksum of a copy, of what is inside where it is gzipped; or that there is none."""
    gzipped = path.name != Path(file.path).name
    try:
        with gzip.open(path) if gzipped else path.open("rb") as stream:
            return hashlib.file_digest(stream, file.algorithm).hexdigest()
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return "of nothing, as it cannot be unpacked"


def _download(file: RawFile, target: Path) -> Path:
    if file.made:
        raise UserError(
            f"raw file '{target}' is missing and is published only in another form; put the file with "
            f"{file.algorithm} {file.digits} there, made by {file.made} from {file.url}"
        )
    whole = pooch.HTTPDownloader(stream=False)  # a stream that fails leaves its connection open
    name, folder = target.name, target.parent
    try:
        pooch.retrieve(file.url, f"{file.algorithm}:{file.digits}", fname=name, path=folder, downloader=whole)
    except (OSError, ValueError) as error:  # no network, no such page, no room, or another checksum
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"raw file '{target}' is missing and its download failed ({reason}); "
            f"put the file with {file.algorithm} {file.digits} there, from {file.url}"
        ) from error
    return target
