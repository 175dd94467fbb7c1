"""`sdbnn publish`: from trained weights to an entry of the catalogue, its file and its model card."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from sdbnn_larq import zoo
from sdbnn_larq._files import atomic_file, file_sha256
from sdbnn_larq.cli._evaluate import test_set
from sdbnn_larq.evaluation import evaluate
from sdbnn_larq.preprocessing import known_preprocessing
from sdbnn_larq.weights import PublishedWeights, catalogue

CARD = """\
# {name}

The network classifies **{accuracy:.2f} %** of the {images:,} test images of {data} correctly (top-1).
This command recomputes the figure:

<!-- not run: needs {data} -->
```bash
sdbnn evaluate {name}{fields}
```

| | |
|---|---|
| use | `sdbnn_larq.zoo.load("{name}")` |
| made by | {recipe}, seeds {seeds} |
| architecture | {architecture}{arguments} |
| images | {height}×{width}×3, {crop:.4g} of the central crop, resized ({resample}); minus {mean}, divided by {std} |
| classes | {classes} |
| file | {file}, {size:,} bytes, SHA-256 {sha256} |
| licence | {licence} |
"""


def publish(
    name: str,
    *,
    weights: str,
    tag: str,
    dataset: str | None,
    data_dir: str | None,
    data: str,
    recipe: str,
    seeds: Iterable[int],
    licence: str,
    half: Iterable[str],
    card: str | None,
    about: IO[str] | None,
) -> None:
    """Packs the weights, measures what the packed file computes, and writes file, card and entry."""
    page = Path(card or f"zoo/{name.lower()}_{tag}.md")
    if not page.parent.is_dir():
        raise ValueError(f"`--card` must be in a folder that exists. Received: {str(page)!r}.")
    model = zoo.load(weights, name)
    dataset = dataset or model.description.provenance.get("dataset")
    if dataset is None:
        raise ValueError(f"--dataset must be given where the weights do not say it. Received: {weights} without.")
    source = test_set(dataset, [f"data_dir={data_dir}"] if data_dir else [])
    provenance = {"dataset": dataset, "data": data, "recipe": recipe, "seeds": list(seeds), "licence": licence}
    description = model.description.replace(
        class_names=tuple(map(str, source.class_names)), provenance={**model.description.provenance, **provenance}
    )
    known_preprocessing(description)
    file = f"{model.name}_{tag}.safetensors"
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch, file)
        zoo.save_packed(model, packed, half=half, description=description)
        accuracy = evaluate(zoo.load(packed), source)
        content, sha256 = packed.read_bytes(), file_sha256(packed)
    entry = PublishedWeights(
        description=description,
        tag=tag,
        file=file,
        size=len(content),
        sha256=sha256,
        accuracy=round(100 * accuracy.share, 2),
        images=accuracy.images,
    )
    with atomic_file(catalogue.folder() / file) as opened:
        opened.write(content)
    with atomic_file(page) as opened:
        opened.write((_card(entry, bool(data_dir)) + (f"\n{about.read().strip()}\n" if about else "")).encode())
    catalogue.publish(entry)
    print(f"{entry.name}: {entry.accuracy:.2f}% of {entry.images:,} test images, {entry.size:,} bytes, card in {page}")


def _card(entry: PublishedWeights, needs_data: bool) -> str:
    description = entry.description
    provenance, preprocessing = description.provenance, known_preprocessing(description)
    arguments = "".join(f", {key}={value!r}" for key, value in description.arguments.items() if key != "num_classes")
    return CARD.format(
        name=entry.name,
        accuracy=entry.accuracy,
        images=entry.images,
        data=provenance["data"],
        fields=" data_dir=DIR" if needs_data else "",
        recipe=provenance["recipe"],
        seeds=", ".join(map(str, provenance["seeds"])),
        architecture=description.architecture,
        arguments=arguments,
        height=description.input_shape[0],
        width=description.input_shape[1],
        crop=preprocessing.crop,
        resample=preprocessing.resample,
        mean=", ".join(f"{value:g}" for value in preprocessing.mean),
        std=", ".join(f"{value:g}" for value in preprocessing.std),
        classes=", ".join(description.class_names or ()),
        file=entry.file,
        size=entry.size,
        sha256=entry.sha256,
        licence=provenance["licence"],
    )
