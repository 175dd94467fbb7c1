"""A page about a network's signs that opens from disk, and the pictures on it as files."""

import base64
import html
import io
from pathlib import Path

from matplotlib.figure import Figure

from sdbnn_larq._files import atomic_file
from sdbnn_larq.analysis.figures import Place, SignReport
from sdbnn_larq.analysis.pictures import DPI, pictures

STYLE = """
:root { color-scheme: light dark; --line: #d9dde2; --soft: #f4f6f8; --quiet: #5c6670; }
@media (prefers-color-scheme: dark) { :root { --line: #3a4149; --soft: #20252b; --quiet: #a4adb6; } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { margin: 2.6rem 0 .4rem; } h3 { margin: 1.8rem 0 .3rem; font-size: 1.05rem; }
p { max-width: 48rem; } .quiet { color: var(--quiet); }
img { width: 100%; background: white; border: 1px solid var(--line); border-radius: 6px; box-sizing: border-box; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
thead th { background: var(--soft); }
.dead { color: #c0392b; font-weight: 600; }
"""

MEANING = """
<p>A 1-bit layer sees only signs. <b>Inputs</b> are the activations whose sign the layer takes, <b>weights</b> its
kernel, and <b>sums</b> what ±1 times ±1 adds up to, before scale, bias and activation. Of each the page tells</p>
<ul>
<li><b>how many are +1</b>. Near 0 or 100 % a sign says little; at 50 % it says most.</li>
<li><b>in how many two images differ</b>: the share of the layer's signs that are not the same for two images, over all
pairs. It is at most about 50 %. Signs in which no two images differ tell nothing of the image.</li>
<li><b>how many the shift turns</b>: signs that are another with self-distribution's shift than without it, for the same
inputs of this layer.</li>
<li><b>dead channels</b>: those whose sign is the same everywhere in all images.</li>
</ul>
"""


def write_page(report: SignReport, folder: Path, *, title: str, shown: str) -> Path:
    """Writes `signs.html`, which holds all its pictures, and the pictures as PNG files.

    # Arguments
        report: of the network.
        folder: exists.
        title: names the network.
        shown: says what the network was shown, e.g. `"10,000 test images of Cifar10"`.

    # Returns
        The page's path.
    """
    images = {}
    for name, figure in pictures(report):
        images[name] = _png(figure)
        with atomic_file(folder / f"{name}.png") as file:
            file.write(images[name])
    path = folder / "signs.html"
    with atomic_file(path) as file:
        file.write(_page(report, images, title, shown).encode())
    return path


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return content.getvalue()


def _page(report: SignReport, images: dict[str, bytes], title: str, shown: str) -> str:
    heading = html.escape(f"The signs of {title}")
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body>",
        f'<h1>{heading}</h1><p class="quiet">{html.escape(_summary(report, shown))}</p>',
        MEANING,
        f"<h2>Layer by layer</h2>{_image(images['overview'], 'Figures of each layer')}",
        f'<div class="wide">{_table(report)}</div>',
    ]
    if "channels" in images:
        parts.append(f"<h2>Channel by channel</h2>{_image(images['channels'], 'Shares of +1 of all channels')}")
    parts.append("<h2>How the values are spread</h2><p>Grey is without the layer's shift, the colour with it.</p>")
    for number, layer in enumerate(report.layers, 1):
        parts.append(f"<h3>{html.escape(layer.name)} <span class=quiet>{html.escape(layer.kind)}</span></h3>")
        parts.append(_image(images[f"layer_{number:02d}"], f"Distributions of {layer.name}"))
    if report.left_out:
        parts.append(f"<h2>What is not here</h2>{_left_out(report)}")
    return "\n".join([*parts, "</body></html>\n"])


def _summary(report: SignReport, shown: str) -> str:
    dead = sum(len(place.signs.dead) for place in _activations(report))
    channels = sum(len(place.signs.share) for place in _activations(report))
    text = f"{len(report.layers)} layers"
    return f"{text}; {shown}; {dead} of {channels:,} channels are dead" if report.images else f"{text}; weights alone"


def _activations(report: SignReport) -> list[Place]:
    return [layer.activations for layer in report.layers if layer.activations]


def _image(content: bytes, text: str) -> str:
    data = base64.b64encode(content).decode()
    return f'<img loading="lazy" alt="{html.escape(text)}" src="data:image/png;base64,{data}">'


def _table(report: SignReport) -> str:
    header, *rows = report.rows()
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _left_out(report: SignReport) -> str:
    """By reason, because all layers of a packed file share one."""
    layers: dict[str, list[str]] = {}
    for layer, reasons in report.left_out.items():
        for reason in reasons:
            layers.setdefault(reason, []).append(layer)
    return (
        "<ul>"
        + "".join(
            f"<li><b>{html.escape(', '.join(names))}</b>: {html.escape(reason)}.</li>"
            for reason, names in layers.items()
        )
        + "</ul>"
    )
