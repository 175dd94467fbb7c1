"""The code blocks of the documentation's pages.

A block that cannot run in a test is preceded by a line `<!-- not run: the reason -->`, which no reader sees.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for folder in (".", "docs", "training", "zoo") for path in (ROOT / folder).glob("*.md"))
BLOCK = re.compile(r"^(?:<!-- not run: ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    name: str
    language: str
    code: str
    not_run: str  # why


def blocks(language: str | None = None) -> list[Block]:
    """Those of all pages, or of one language."""
    found = [
        Block(f"{page.stem}-{i}", match[2], match[3], match[1] or "")
        for page in PAGES
        for i, match in enumerate(BLOCK.finditer(page.read_text("utf-8")))
    ]
    return [block for block in found if language in (None, block.language)]
