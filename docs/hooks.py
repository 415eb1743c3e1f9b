"""What mkdocs calls while it builds: adds the generated pages, and writes formulas as MathML, which browsers show without scripts."""

from __future__ import annotations

import html
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from latex2mathml.converter import convert
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files

log = get_plugin_logger("hooks")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
FUNCTION = re.compile(r"(<mi>(?:log|exp|max|min)</mi>)(?=<mi>|<mover>|<mfrac>|<msub>)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from the components and the command line."""
    for path, text in _generator().pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_content(text: str, **_: Any) -> str:
    """Write each formula as MathML."""
    return FORMULA.sub(_mathml, text)


def _mathml(match: re.Match[str]) -> str:
    tag, latex = match[1], html.unescape(match[2]).strip()
    try:
        made = convert(latex, display="block" if tag == "div" else "inline")
        if unknown := re.search(r">(\\\w+)<", made):
            raise ValueError(f"unknown command {unknown[1]}")
    except Exception as error:  # the library has no common base of its own
        log.warning(f"no formula: {latex} ({error})")
        return f"<code>{html.escape(latex)}</code>"
    spaced = FUNCTION.sub(r'\1<mspace width="0.167em"/>', made)
    return f'<{tag} class="arithmatex">{spaced}</{tag}>'


def _generator() -> ModuleType:
    """``generate.py`` beside this file, which is no package."""
    spec = importlib.util.spec_from_file_location("generate", Path(__file__).with_name("generate.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
