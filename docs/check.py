"""Looks over the built site: ``python docs/check.py build/site`` names links that lead nowhere,
what is loaded from elsewhere, and formulas that a browser would need a script for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADING = {"stylesheet", "preload", "preconnect", "dns-prefetch", "modulepreload"}
IMPORT = re.compile(r"""(?:@import[^;]*?|url\(["']?)((?:https?:)?//[^\s"')]+)""")
RAW = re.compile(r'class="arithmatex">\\[\[(]|class="mermaid"')


class Page(HTMLParser):
    """The anchors of a page, where its links lead and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        loading = tag == "link" and not LOADING.isdisjoint(given.get("rel", "").split())
        self.loads |= {given["src"]} if "src" in given else {given["href"]} if loading else set()
        self.links |= {given["href"]} if "href" in given and not loading else set()


def problems(site: Path) -> Iterator[str]:
    """What is wrong, a line for each."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(site)
        yield from (
            f"{where}: leads nowhere: {link}" for link in page.links if not _leads(link, path, pages, site)
        )
        yield from (f"{where}: is not there: {link}" for link in page.loads if not _there(link, path, site))
        if RAW.search(page.text):
            yield f"{where}: has formulas or diagrams that need a script"
    for path in (*pages, *site.rglob("*.css")):
        for link in IMPORT.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: loads from elsewhere: {link}"


def _there(link: str, page: Path, site: Path) -> bool:
    parts = urlsplit(link)
    return parts.scheme == "data" or not parts.netloc and _target(parts.path, page, site).is_file()


def _leads(link: str, page: Path, pages: dict[Path, Page], site: Path) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = _target(parts.path, page, site)
    known = pages[target].anchors if target in pages else set()
    return target.is_file() and (not parts.fragment or unquote(parts.fragment) in known)


def _target(path: str, page: Path, site: Path) -> Path:
    """The file that an address within the site means."""
    start = site if path.startswith("/") else page.parent
    found = (start / unquote(path).lstrip("/")).resolve() if path else page
    return found / "index.html" if found.is_dir() else found


def main() -> None:
    """Fail where anything is wrong."""
    site = Path(sys.argv[1]).resolve()
    found = list(problems(site))
    print("\n".join(found) or f"documentation: {len(list(site.rglob('index.html')))} pages")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
