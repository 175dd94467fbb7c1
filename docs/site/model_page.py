"""MkDocs hook: the page of models, made of the zoo's registry, the catalogue of weights, their cards and measurements.

The page is `zoo/README.md`. On a code host it has a plain table of the published weights; here one that can be sorted
and filtered takes its place, with all architectures, and a card for each of the weights.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from loading import quietly
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
TABLE = re.compile(r"(^\|.*\n)+", re.MULTILINE)
PICTURE = re.compile(r"\]\((\S+\.png)\)")
RUNTIMES = {"OpenVINO": "OpenVINO", "LCE": "LCE"}  # the names of `sdbnn benchmark`, and their columns
COLUMNS = ("network", "images", "input", "top-1", "parameters", "1-bit MACs", "float MACs", "size", *RUNTIMES.values())
ONE: dict[str, float] = {}
DECIMAL = {" G": 1e9, " M": 1e6, " k": 1e3}
BINARY = {" MiB": 2**20, " KiB": 2**10}
NOTE = """
MACs are multiply-accumulates for one image. The size counts 1 bit for each binary weight and 32 for any other.
Latencies are medians for one image on one core, measured by `sdbnn benchmark` ({machines}); a dash stands for what has
not been trained or measured.
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """What the table says of one network; `None` stands for what is not known."""

    name: str  # as a Markdown link
    images: str | None
    input: str
    accuracy: float | None  # top-1 in per cent
    parameters: int
    binary_macs: int
    float_macs: int
    bytes: int
    latency: tuple[float | None, ...]  # milliseconds, of `RUNTIMES`

    def markdown(self) -> str:
        cells = [
            _cell(self.accuracy, "{:.2f} %"),
            _cell(self.parameters, "{:#.3g}", DECIMAL),
            _cell(self.binary_macs, "{:#.3g}", DECIMAL),
            _cell(self.float_macs, "{:#.3g}", DECIMAL),
            _cell(self.bytes, "{:#.3g}", BINARY),
            *(_cell(milliseconds, "{:.2f} ms") for milliseconds in self.latency),
        ]
        return f"| {self.name} | {self.images or '–'} | {self.input} | {' | '.join(cells)} |"


def _cell(number: float | None, form: str, units: dict[str, float] = ONE) -> str:
    """A cell of a number in the largest unit that it reaches, with the value by which the table is sorted."""
    if number is None:
        return "– { .number }"
    unit, size = next(((unit, size) for unit, size in units.items() if abs(number) >= size), ("", 1))
    return f"{form.format(number / size).rstrip('.')}{unit} {{ .number data-value={number} }}"


def rows() -> Iterator[Row]:
    """A row for each of the published weights, and one for each architecture that has none."""
    with quietly():
        import larq as lq

        from sdbnn_larq import zoo
        from sdbnn_larq.weights import published

    for name in zoo.list_models():
        for entry in published(name) or [None]:
            model = zoo.build(entry.description) if entry else zoo.get_model(name)
            profile = lq.models.ModelProfile(model)
            shape = model.input_shape[1:]
            yield Row(
                name=f"[{entry.name}]({card_path(entry).name})" if entry else f"[{name}][sdbnn_larq.zoo.{name}]",
                images=entry.description.provenance["data"] if entry else None,
                input="×".join(map(str, shape)),
                accuracy=entry.accuracy if entry else None,
                parameters=profile.weight_count(),
                binary_macs=profile.op_count("mac", 1),
                float_macs=profile.op_count("mac", 32),
                bytes=profile.memory // 8,
                latency=latency(name, shape),
            )


def card_path(entry) -> Path:
    """Where `sdbnn publish` wrote the card of published weights."""
    return ROOT / "zoo" / f"{entry.description.architecture}_{entry.tag}.md".lower()


def measurements() -> Iterator[dict]:
    """What `sdbnn benchmark` has measured on one thread, and where."""
    for file in sorted((ROOT / "benchmarks").glob("*.json")):
        content = json.loads(file.read_text("utf-8"))
        if isinstance(content, dict) and {"network", "rows", "machine"} <= content.keys() and content["threads"] == 1:
            yield content


def latency(network: str, shape: tuple[int, ...]) -> tuple[float | None, ...]:
    """Median milliseconds for one image of this shape in each of `RUNTIMES`."""
    found = {
        row["name"]: row["latency_ms"]["median"]
        for content in measurements()
        if content["network"] == network and tuple(content["input"]) == shape
        for row in content["rows"]
    }
    return tuple(found.get(runtime) for runtime in RUNTIMES)


def table(found: Iterable[Row]) -> str:
    """The Markdown table in the element that `models.js` makes sortable."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    return "\n".join(['<div class="models" markdown>\n', *head, *(row.markdown() for row in found), "\n</div>\n"])


def cards() -> str:
    """A card for each of the published weights: picture, accuracy, size and how to load them."""
    with quietly():
        from sdbnn_larq.weights import published
    return "\n".join(['<div class="model-cards" markdown>\n', *map(_card, published()), "</div>\n"])


def _card(entry) -> str:
    path = card_path(entry)
    picture = PICTURE.search(path.read_text("utf-8"))
    provenance = entry.description.provenance
    shown = f"[![Training of {entry.name}]({picture[1]})]({path.name})\n\n" if picture else ""
    return (
        f'<div class="model-card" markdown>\n\n{shown}### [{entry.name}]({path.name})\n\n'
        f"**{entry.accuracy:.2f} %** of {entry.images:,} test images of {provenance['data']}\n\n"
        f"{entry.size:,} bytes, {provenance['licence']} licence, {len(entry.description.class_names)} classes\n\n"
        f'`zoo.load("{entry.name}")`\n\n</div>\n'
    )


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    if page.file.src_uri != "zoo/README.md":
        return markdown
    page.meta["hide"] = ["toc"]
    machines = ", ".join(sorted({content["machine"]["processor"] for content in measurements()}))
    made = "\n".join([table(rows()), NOTE.format(machines=machines), "## Trained networks\n", cards()])
    return TABLE.sub(lambda _: made, markdown, count=1)
