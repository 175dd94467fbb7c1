"""`sdbnn publish`: from trained weights to an entry of the catalogue, its file and its model card."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from larq_zoo.training.data import MEAN_RGB, STDDEV_RGB

from sdbnn_larq import zoo
from sdbnn_larq._files import atomic_file, file_sha256
from sdbnn_larq.cli._use import build, count_right, test_set
from sdbnn_larq.weights import catalogue
from sdbnn_larq.weights.catalogue import Entry
from sdbnn_larq.weights.packed import read_metadata

CARD = """\
# {entry.architecture} `{entry.tag}`

**{entry.accuracy:.2f} %** of the {entry.images:,} test images of {entry.data} are classified rightly (top-1).
To recompute it:

```bash
sdbnn evaluate {entry.architecture} --weights {entry.tag}{fields}
```

| | |
|---|---|
| use | `sdbnn_larq.zoo.{entry.architecture}(weights="{entry.tag}"{arguments})` |
| made by | {entry.recipe}, seeds {seeds} |
| images | {entry.input_size[0]}×{entry.input_size[1]}×3, less {entry.mean}, divided by {entry.std} (from 0 to 255) |
| classes | {classes} |
| file | {entry.file}, {entry.size:,} bytes, SHA-256 {entry.sha256} |
| licence | {entry.licence} |
"""


def publish(
    name: str,
    *,
    weights: str,
    tag: str,
    dataset: str,
    data_dir: str | None,
    data: str,
    recipe: str,
    seeds: Iterable[int],
    licence: str,
    half: Iterable[str],
    about: IO[str] | None,
) -> None:
    """Packs the weights, measures what the packed file computes, and writes file, card and entry."""
    source = test_set(dataset, [f"data_dir={data_dir}"] if data_dir else [])
    model, _ = build(name, weights)
    metadata = read_metadata(weights)
    folder = catalogue.folder()
    path = folder / f"{model.name}_{tag}.safetensors"
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / path.name
        zoo.save_packed(model, packed, metadata | {"class_names": list(source.class_names)}, half)
        zoo.load_packed(model, packed)
        right, count = count_right(model, source)
        content = packed.read_bytes()
        entry = Entry(
            architecture=name,
            tag=tag,
            arguments=metadata.get("options", {}) | {"num_classes": source.num_classes},
            file=path.name,
            size=len(content),
            sha256=file_sha256(packed),
            dataset=dataset,
            data=data,
            input_size=list(model.input_shape[1:3]),
            mean=list(MEAN_RGB),
            std=list(STDDEV_RGB),
            class_names=list(source.class_names),
            accuracy=round(100 * right / count, 2),
            images=count,
            seeds=list(seeds),
            recipe=recipe,
            licence=licence,
        )
    card = CARD.format(
        entry=entry,
        fields=" data_dir=DIR" if data_dir else "",
        arguments="".join(f", {key}={value!r}" for key, value in entry.arguments.items()),
        seeds=", ".join(map(str, entry.seeds)),
        classes=", ".join(entry.class_names),
    )
    with atomic_file(path) as file:
        file.write(content)
    with atomic_file(path.with_suffix(".md")) as file:
        file.write((card + (f"\n{about.read().strip()}\n" if about else "")).encode())
    others = [other for other in catalogue.entries() if (other.architecture, other.tag) != (name, tag)]
    catalogue.write(sorted([*others, entry], key=lambda entry: (entry.architecture, entry.tag)))
    print(f"{name} {tag}: {entry.accuracy:.2f}% of {count:,} test images, {entry.size:,} bytes, in {folder}")
