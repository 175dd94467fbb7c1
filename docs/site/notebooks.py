"""MkDocs hook: notebooks as pages, with the outputs that they were saved with.

Text that a cell wrote, its result and its pictures are shown; what libraries wrote to stderr is not.
"""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
COLOUR = re.compile(r"\x1b\[[\d;]*m")


def notebooks() -> list[Path]:
    return sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def page_path(notebook: Path) -> str:
    """The page that shows a notebook, relative to the repository's root."""
    return notebook.relative_to(ROOT).with_suffix(".md").as_posix()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for notebook in notebooks():
        pictures: dict[str, bytes] = {}
        content = "\n\n".join(_parts(nbformat.read(notebook, as_version=4), notebook.stem, pictures))
        page = File.generated(config, page_path(notebook), content=content)
        page.dest_uri = f"notebooks/{notebook.stem}/index.html"
        files.append(page)
        for name, picture in pictures.items():
            files.append(File.generated(config, f"docs/notebooks/{name}", content=picture))
    return files


def _parts(notebook: nbformat.NotebookNode, name: str, pictures: dict[str, bytes]) -> Iterator[str]:
    """Markdown for each cell and output; adds the pictures to `pictures`, by file name."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell.source
            continue
        yield f"```python\n{cell.source}\n```"
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                file = f"{name}-{len(pictures) + 1}.png"
                pictures[file] = base64.b64decode(data["image/png"])
                yield f"![What the cell above draws]({file})"
            elif output.get("name") == "stdout" or "text/plain" in data:
                text = COLOUR.sub("", output.get("text") or data["text/plain"]).rstrip()
                yield f"```{{.text .output}}\n{text}\n```"
