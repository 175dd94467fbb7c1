"""MkDocs hook: the pages of the site are files of the repository, under the paths by which their links know them.

So a link that works on a code host works on the site. What a page links to comes with it: data and pictures as they
are, program files and folders as pages that show them.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from api_pages import api_paths
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from notebooks import notebooks, page_path

ROOT = Path(__file__).parents[2]
URLS = {
    "README.md": "",
    "CHANGELOG.md": "changelog/",
    "CONTRIBUTING.md": "contributing/",
    "training/README.md": "recipes/",
    "zoo/README.md": "zoo/",
}
PATTERNS = (*URLS, "docs/*.md", "zoo/*.md")
ASSETS = ("site.css", "models.js", "favicon.svg", "math.woff2", "math.woff2.licence")
PROGRAMS = {".py": "python", ".cpp": "cpp"}
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")
SOURCE = """\
---
search:
  exclude: true
---
# {path}

{content}
"""


def page_paths() -> list[str]:
    """The repository's pages, as paths relative to its root."""
    found = {path.relative_to(ROOT).as_posix(): None for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))}
    return list(found)


def local_links(markdown: str, page: str) -> Iterator[str]:
    """The files of the repository to which a page links, relative to its root."""
    for target in LINK.findall(markdown):
        if "://" not in target and not target.startswith("mailto:"):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def is_source(path: str) -> bool:
    """Whether a page of its own shows this file or folder."""
    return (ROOT / path).is_dir() or Path(path).suffix in PROGRAMS


def source_page(path: str) -> str:
    """Markdown that shows a program file, or lists those of a folder."""
    where = ROOT / path
    if where.is_dir():
        files = [f"{path}/{file.name}" for file in sorted(where.iterdir()) if file.suffix in PROGRAMS]
        content = "\n".join(f"- [{Path(file).name}]({posixpath.basename(path)}/{Path(file).name}.md)" for file in files)
    else:
        content = f"````{PROGRAMS[where.suffix]}\n{where.read_text('utf-8')}````"
    return SOURCE.format(path=f"`{path}`", content=content)


def with_files_of_folders(paths: Iterable[str]) -> set[str]:
    """Adds the program files that lie in the folders among `paths`."""
    folders = [path for path in paths if (ROOT / path).is_dir()]
    return {*paths, *(f"{folder}/{file.name}" for folder in folders for file in (ROOT / folder).iterdir())}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = _expanded(config.nav, [*page_paths(), *api_paths(), *map(page_path, notebooks())])
    return config


def _expanded(entry: Any, paths: list[str]) -> Any:
    """A part of the navigation with each pattern replaced by the pages that it matches."""
    if isinstance(entry, dict):
        return {title: _expanded(part, paths) for title, part in entry.items()}
    if isinstance(entry, list):
        return [page for part in entry for page in _as_list(_expanded(part, paths))]
    matching = [path for path in paths if Path(path).match(entry)]
    return matching if "*" in entry else entry


def _as_list(part: Any) -> list:
    return part if isinstance(part, list) else [part]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    pages = page_paths()
    linked = {path for page in pages for path in local_links((ROOT / page).read_text("utf-8"), page)}
    for page in pages:
        url = URLS.get(page, f"{page.removeprefix('docs/').removesuffix('.md')}/")
        files.append(_file(config, page, f"{url}index.html"))
    for path in sorted(with_files_of_folders(linked - {*pages})):
        if is_source(path):
            files.append(_source_file(config, path))
        elif (ROOT / path).is_file() and not path.endswith(".ipynb"):  # what is missing, MkDocs names
            files.append(_file(config, path, path))
    for name in ASSETS:
        files.append(_file(config, f"docs/site/{name}", f"assets/{name}"))
    return files


def _file(config: MkDocsConfig, path: str, destination: str) -> File:
    return File(path, str(ROOT), config.site_dir, config.use_directory_urls, dest_uri=destination)


def _source_file(config: MkDocsConfig, path: str) -> File:
    file = File.generated(config, f"{path}.md", content=source_page(path), inclusion=InclusionLevel.NOT_IN_NAV)
    file.dest_uri = f"source/{path}/index.html"
    return file


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lets links to notebooks, program files and folders lead to the pages that show them."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # which has nothing but this page
    folder = posixpath.dirname(page.file.src_uri)

    def page_of(match: re.Match) -> str:
        link = match[0]
        if link.endswith(".ipynb"):
            return f"{link.removesuffix('.ipynb')}.md"
        path = posixpath.normpath(posixpath.join(folder, link))
        return f"{link.rstrip('/')}.md" if "://" not in link and is_source(path) else link

    return LINK.sub(page_of, markdown)
