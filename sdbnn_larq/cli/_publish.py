"""`sdbnn publish`: from trained weights to an entry of the catalogue, its file and its model card."""

import contextlib
import json
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from sdbnn_larq import zoo
from sdbnn_larq._files import atomic_file, file_sha256
from sdbnn_larq.cli._card import figures, finished_run, picture_of_confusion, read_benchmark, render
from sdbnn_larq.cli._evaluate import test_set
from sdbnn_larq.evaluation import at_size, evaluate
from sdbnn_larq.preprocessing import known_preprocessing
from sdbnn_larq.weights import PublishedWeights, catalogue

DIVIDED = {"division", "checksum_of_file_names"}  # what provenance says of the images trained on


def publish(
    name: str,
    *,
    config: Sequence[str],
    weights: str | None,
    runs: Sequence[str],
    twins: Sequence[str],
    benchmark: str | None,
    sizes: Sequence[int],
    tag: str,
    dataset: str | None,
    data: str,
    recipe: str,
    seeds: Sequence[int],
    licence: str,
    half: Iterable[str],
    card: str | None,
    about: str | None,
) -> None:
    """Packs the weights, measures what the packed file computes, and writes file, card and entry."""
    page = Path(card or f"zoo/{name}_{tag}.md".lower())
    if not page.parent.is_dir() or page.is_dir() or page.suffix != ".md":
        raise ValueError(f"`--card` must be a file.md in a folder that exists. Received: {str(page)!r}.")
    if not weights and not runs:
        raise ValueError("--weights or --run must be given. Received: neither.")
    added = f"\n{read_text(about)}\n" if about else ""
    measured = read_benchmark(benchmark) if benchmark else None
    model = zoo.load(weights or Path(runs[0], "weights.safetensors"), name)
    source = test_set(model.description, dataset, config)
    provenance = {
        "dataset": type(source).__name__,
        "data": data,
        "recipe": recipe,
        "seeds": list(seeds),
        "licence": licence,
    }
    trained_with = model.description.provenance
    if trained_with.get("dataset") != provenance["dataset"]:  # how that one was divided says nothing of this one
        trained_with = {key: trained_with[key] for key in trained_with.keys() - DIVIDED}
    description = model.description.replace(
        class_names=model.description.class_names or tuple(map(str, source.class_names)),
        provenance={**trained_with, **provenance},
    )
    known_preprocessing(description)
    twin = description.replace(arguments={**description.arguments, "binary": False})
    trained = [finished_run(Path(path), description) for path in runs]
    trained_twins = [finished_run(Path(path), twin) for path in twins]
    file = f"{model.name}_{tag}.safetensors"
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch, file)
        zoo.save_packed(model, packed, half=half, description=description)
        published = zoo.load(packed)
        accuracy = evaluate(published, source)
        others = {size: evaluate(at_size(published, size), source) for size in sizes}
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
    known = figures(
        description,
        accuracy,
        others,
        4 * model.count_params(),
        fields=[*_own_data(dataset), *(_shown(word) for word in config)],
        runs=trained,
        twins=trained_twins,
        benchmark=measured,
    )
    text = render(entry, known, page.stem) + added
    written = {
        catalogue.folder() / file: content,
        page: text.encode(),
        page.with_suffix(".json"): (json.dumps(known) + "\n").encode(),
    }
    if known["confusion"]:
        written[page.with_name(f"{page.stem}_confusion.png")] = picture_of_confusion(
            description.class_names, accuracy.confusion
        )
    for end in ("history.csv", "curves.png") if runs else ():
        written[page.with_name(f"{page.stem}_{end}")] = Path(runs[0], end).read_bytes()
    with contextlib.ExitStack() as stack:  # all are written before the first takes its place
        for path, bytes_ in written.items():
            opened = stack.enter_context(atomic_file(path))
            opened.write(bytes_)
            opened.flush()
    catalogue.publish(entry)
    print(f"{entry.name}: {entry.accuracy:.2f}% of {entry.images:,} test images, {entry.size:,} bytes, card in {page}")


def _own_data(dataset: str | None) -> list[str]:
    """How a card's command names the data set of a recipe file, which no other name finds."""
    return ["--dataset", shlex.quote(Path(dataset).name)] if dataset and dataset.endswith(".py") else []


def _shown(field: str) -> str:
    """A field of the data set as a card shows it: folders are everyone's own."""
    name, _, value = field.partition("=")
    return f"{name}=DIR" if name in ("data_dir", "directory") else f"{name}={shlex.quote(value)}"


def read_text(path: str) -> str:
    """What is added to a card, without blank lines around it."""
    try:
        return Path(path).read_text("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"--about must be a text in UTF-8. Received: {path!r}.") from error
