"""Griffe extension: docstrings in Larq's style become plain Markdown, as on Larq's own pages.

`# Arguments` and its like become bold titles, their indented entries lists, and `\\\\( … \\\\)` the maths that
`pymdownx.arithmatex` finds.
"""

import re
import textwrap
from typing import Any

import griffe

SECTION = re.compile(r"^# (\w[\w ]*)\n((?:(?:[ ]{4}.*)?\n)*(?:[ ]{4}.*)?)", re.MULTILINE)
ENTRY = re.compile(r"^(\*{0,2}\w+): ", re.MULTILINE)
DELIMITER = re.compile(r"\\\\([\[\]()])")  # Larq's pages unescape backslashes before they look for maths
END_OF_ROW = re.compile(r"\\{3}$", re.MULTILINE)


class LarqDocstrings(griffe.Extension):
    """Translates the docstring of each object."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(docstring: str) -> str:
    """The Markdown that says what a docstring in Larq's style does."""
    docstring = END_OF_ROW.sub(r"\\\\", DELIMITER.sub(r"\\\1", docstring))
    docstring = re.sub(r"\s*(\\\[.*?\\\])[ ]*\n?", r"\n\n\1\n\n", docstring, flags=re.DOTALL)
    return SECTION.sub(_section, docstring)


def _section(match: re.Match) -> str:
    title, body = match[1], textwrap.dedent(match[2]).strip()
    if ENTRY.match(body):
        body = ENTRY.sub(r"- `\1`: ", body)
    return f"**{title}**\n\n{body}\n\n"
