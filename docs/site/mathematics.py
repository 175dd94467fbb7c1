"""MkDocs hook: LaTeX becomes MathML while the site is built, so that a page needs neither scripts nor fonts for it."""

import html
import re

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return FORMULA.sub(_mathml, content)


def _mathml(match: re.Match) -> str:
    latex = html.unescape(match[2]).strip()
    if match[1] == "span":
        return convert(latex)
    return f'<div class="formula">{convert(latex, display="block")}</div>'
