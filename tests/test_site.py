"""The documentation site: built strictly and without network, its links, models and maths, in a browser."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from sdbnn_larq import analysis, callbacks, convert, layers, quantizers, training, tuning, weights, zoo
from sdbnn_larq.weights import published

pytest.importorskip("mkdocs")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
OFFLINE = """
import socket

def refuse(*arguments, **options):
    raise OSError("no network")

socket.socket.connect = socket.getaddrinfo = refuse

from mkdocs.__main__ import cli

cli()
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-c", OFFLINE, "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return folder


class Page(HTMLParser):
    """What a page links to and loads, and its anchors."""

    def __init__(self, file):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(values["href"])
        elif values.get("src"):
            self.loaded.append(values["src"])


@pytest.fixture(scope="session")
def pages(site):
    """The pages of the site by their addresses, relative to its root."""
    return {file.relative_to(site).as_posix(): Page(file) for file in site.rglob("*.html")}


def target(page, link):
    """The file and the anchor to which a link leads."""
    parts = urlsplit(urljoin(f"http://site/{page}", link))
    path = unquote(parts.path).lstrip("/")
    return f"{path}index.html" if path.endswith("/") or not path else path, unquote(parts.fragment)


def broken(site, pages):
    """The links and loaded files of all pages that lead nowhere in the site."""
    for page, content in pages.items():
        for link in [*content.links, *content.loaded]:
            if urlsplit(link).scheme or page == "404.html":
                continue
            file, anchor = target(page, link)
            if not (site / file).is_file() or (anchor and file in pages and anchor not in pages[file].anchors):
                yield page, link


def test_every_link_and_anchor_leads_somewhere(site, pages):
    assert len(pages) > 30
    assert list(broken(site, pages)) == []


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "index.html").write_text('<a href="#here" id="there">x</a><a href="gone/">y</a><img src="no.png">')
    pages = {"index.html": Page(tmp_path / "index.html")}
    assert {link for _, link in broken(tmp_path, pages)} == {"#here", "gone/", "no.png"}


def test_nothing_is_loaded_from_elsewhere(site, pages):
    assert {loaded for page in pages.values() for loaded in page.loaded if urlsplit(loaded).scheme} == set()
    for file in site.rglob("*.css"):
        assert re.findall(r"(?:@import|url\(['\"]?)\s*['\"]?https?://\S+", file.read_text("utf-8")) == [], file


def test_every_page_of_docs_is_in_the_site(pages):
    sources = {f"{path.stem}/index.html" for path in (ROOT / "docs").glob("*.md")}
    assert sources <= pages.keys()


def test_maths_is_rendered(site, pages):
    formulas = (site / "api/quantizers/index.html").read_text("utf-8")
    assert formulas.count("<math") >= 5
    for page in pages:
        text = re.sub(r"<(pre|code|script)\b.*?</\1>", "", (site / page).read_text("utf-8"), flags=re.DOTALL)
        assert re.findall(r"arithmatex|\\\[|\\\(|\$\$", text) == [], page


def test_the_model_page_shows_the_catalogue(site):
    text = (site / "zoo/index.html").read_text("utf-8")
    for name in zoo.list_models():
        assert re.search(rf'href="[^"]*">{name}(?:/\w+)?</a>', text), name
    for entry in published():
        assert text.count(f"{entry.accuracy:.2f} %") >= 2
        assert f"{entry.size:,} bytes" in text
    assert "547 M" in text  # 1-bit multiply-accumulates of CifarResNet18


def test_every_public_name_is_in_the_reference(pages):
    anchors = set().union(*(page.anchors for name, page in pages.items() if name.startswith("api/")))
    for module in (quantizers, layers, callbacks, analysis, zoo, weights, training, tuning, convert):
        public = [getattr(module, name) for name in module.__all__]
        named = {f"{value.__module__}.{value.__qualname__}" for value in public if hasattr(value, "__qualname__")}
        assert named - anchors == set()


# --- The hooks' own work. ---


@pytest.fixture
def hooks(monkeypatch):
    """Makes the modules of `docs/site` importable."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))


def test_docstrings_of_larq_s_style_become_markdown(hooks):
    from larq_docstrings import to_markdown

    docstring = (
        "Adds \\\\(x\\\\).\n\n# Arguments\n    x: a number,\n        or two.\n    **kwargs: others.\n\n"
        "# Returns\n    A number.\n"
    )
    assert to_markdown(docstring) == (
        "Adds \\(x\\).\n\n**Arguments**\n\n- `x`: a number,\n    or two.\n- `**kwargs`: others.\n\n"
        "**Returns**\n\nA number.\n\n"
    )


def test_the_plots_are_what_the_layers_compute(hooks, tmp_path):
    import plot_building_blocks

    plot_building_blocks.main(tmp_path)
    for plot in plot_building_blocks.PLOTS:
        drawn, stored = (
            curves((folder / f"{plot.__name__}.svg").read_text()) for folder in (tmp_path, plot_building_blocks.IMAGES)
        )
        assert len(drawn) >= 2
        assert drawn == [pytest.approx(curve, abs=0.5) for curve in stored], plot.__name__


def curves(svg):
    """The coordinates of each curve of a plot, in points."""
    paths = re.findall(r'<path d="([^"]*)" clip-path="[^"]*" style="fill: none; stroke: [^"]*stroke-width: 1.5', svg)
    return [[float(number) for number in re.findall(r"-?[\d.]+", path)] for path in paths]


# --- In a browser. ---

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(site):
    """Where a local server shows the site."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def chromium():
    if BROWSER is None:
        pytest.skip("needs Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[1280, 390])
def tab(request, chromium, address):
    """A page of the browser, of two widths; it may ask only the local server, and log no error."""
    context = chromium.new_context(viewport={"width": request.param, "height": 900}, base_url=address)
    context.set_default_timeout(10_000)
    tab, wrong = context.new_page(), []
    tab.on("request", lambda asked: asked.url.startswith((address, "data:")) or wrong.append(asked.url))
    tab.on("response", lambda answer: answer.status < 400 or wrong.append(answer.url))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    yield tab
    context.close()
    assert wrong == []


def test_pages_fit_the_window(tab, pages):
    for page in sorted(pages):
        tab.goto(page.removesuffix("index.html"))
        assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"], page
        assert tab.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_can_be_read(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    for page in ("", "zoo/", "api/quantizers/"):
        tab.goto(page)
        background = luminance(tab, "body", "backgroundColor")
        assert (background < 0.2) == (scheme == "dark")
        for element in ("article p", "article a[href]:not(.headerlink)"):
            low, high = sorted((background, luminance(tab, element, "color")))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (page, element)  # WCAG AA


def luminance(tab, element, name):
    """The relative luminance of a colour, as WCAG defines it; what is behind it does not count."""
    style = f"getComputedStyle(document.querySelector('{element}')).{name}"
    channels = [int(number) / 255 for number in re.findall(r"\d+", tab.evaluate(style))[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def rows(tab):
    return [text.split("\t") for text in tab.locator(".models tbody tr:visible").all_inner_texts()]


def test_the_model_table_sorts(tab):
    tab.goto("zoo/")
    head = tab.locator(".models th", has_text="parameters")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    smallest = [row[0] for row in rows(tab)]
    head.get_by_role("button").click()
    largest = [row[0] for row in rows(tab)]
    assert smallest[0].startswith("ResNet20")
    assert largest[0].startswith("ResNet34")
    assert sorted(smallest) == sorted(largest)
    tab.locator(".models th", has_text="top-1").get_by_role("button").click()
    known = ["%" in row[3] for row in rows(tab)]
    assert known == sorted(known, reverse=True)  # what is not known stays below


def test_the_model_table_filters(tab):
    tab.goto("zoo/")
    everything = len(rows(tab))
    tab.get_by_label("Filter the models").fill("resnet 224")
    assert {row[0].split("/")[0] for row in rows(tab)} == {"ResNet18", "ResNet34"}
    tab.get_by_label("Filter the models").fill("")
    assert len(rows(tab)) == everything
    tab.get_by_label("with published weights").check()
    assert {row[0] for row in rows(tab)} == {entry.name for entry in published()}


def test_search_finds_a_quantizer(tab):
    tab.goto("", wait_until="networkidle")
    if tab.viewport_size["width"] < 960:
        tab.locator("label[for=__search]:visible").first.click()
    tab.get_by_placeholder("Search").click()
    tab.get_by_placeholder("Search").press_sequentially("EDESign", delay=50)
    tab.locator(".md-search-result__link").filter(has_text="EDESign").first.click()
    tab.wait_for_url(re.compile("api/|building-blocks/"))
    assert "EDESign" in tab.locator("article").inner_text()
