"""What holds for the whole repository: who may import what, and what a new part has to bring with it."""

import ast
import inspect
import json
import re
import sys
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sdbnn_larq
from sdbnn_larq import training, zoo
from sdbnn_larq.cli._card import render
from sdbnn_larq.convert.targets import TARGETS
from sdbnn_larq.weights import published
from sdbnn_larq.zoo._factory import SDBNNFactory

# isort: split
import zookeeper.tf

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "sdbnn_larq").rglob("*.py"))

# Of the runtime requirements, those that are there for pip's resolver and that no module imports.
FOR_THE_RESOLVER = {"absl-py", "etils", "googleapis-common-protos", "protobuf", "tensorflow-metadata"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path):
    """All modules that a file imports; `from a import b` gives `a` and `a.b`, which may be a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def private_imports(importer: str, imported: set[str], modules: set[str]) -> set[str]:
    """Those of `imported` that are underscore modules of a package to which `importer` does not belong."""
    found = set()
    for name in imported & modules:
        parts = name.split(".")
        for i, part in enumerate(parts):
            room = ".".join(parts[:i])
            if part.startswith("_") and importer != room and not importer.startswith(f"{room}."):
                found.add(name)
    return found


@pytest.mark.parametrize(
    ("importer", "imported", "private"),
    [
        ("p.training.loop", "p.training._survival", False),
        ("p.training", "p.training._survival", False),
        ("p.convert.lce.export", "p.convert._graph", False),
        ("p.training.loop", "p._files", False),
        ("p.cli._tune", "p.training._survival", True),
        ("p.convert.runtime", "p.convert.lce._file", True),
        ("p.training_tools", "p.training._survival", True),
        ("p.cli", "p.training.loop", False),
    ],
)
def test_what_counts_as_private(importer, imported, private):
    assert bool(private_imports(importer, {imported, "p.something._else"}, {imported})) == private


def test_no_module_imports_a_private_module_of_another_room():
    modules = {module_name(path) for path in FILES}
    found = {name: private_imports(name, set(imports(path)), modules) for path in FILES for name in [module_name(path)]}
    assert {name: private for name, private in found.items() if private} == {}


def requirements() -> tuple[set[str], set[str]]:
    """The distributions that an installation brings, and those that extras add for users."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")

    def names(text: str) -> set[str]:
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
        return {canonicalize_name(Requirement(line).name) for line in lines}

    extras = setup["options.extras_require"]
    return (
        names(setup["options"]["install_requires"]),
        set().union(*(names(extras[name]) for name in extras if name not in ("test", "dev"))),
    )


OWN = {"sdbnn_larq", "sdbnn_command"}


def imported_distributions() -> set[str]:
    """The distributions that the package imports, the extras' known even where they are not installed."""
    found = set()
    distributions = {"torch": ["torch"], "nncf": ["nncf"], "openvino": ["openvino"]} | packages_distributions()
    for path in [*FILES, ROOT / "sdbnn_command.py"]:
        for name in {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - OWN:
            assert name in distributions, f"{path} imports {name}, which no installed package brings"
            found |= {canonicalize_name(distribution) for distribution in distributions[name]}
    return found


@pytest.mark.skipif(sys.version_info < (3, 11), reason="importlib.metadata of Python 3.10 knows too few packages")
def test_requirements_are_what_is_imported():
    base, extras = requirements()
    imported = imported_distributions()
    assert imported - base - extras == set(), "imported, but not declared in setup.cfg"
    assert base - imported == FOR_THE_RESOLVER, "declared in setup.cfg, but not imported"


def test_the_test_extra_brings_every_runtime():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    for name in ("lce", "openvino", "benchmark"):
        wanted = {line for line in extras[name].splitlines() if line}
        assert wanted <= {*extras["test"].splitlines()}


# --- What a new part brings with it. CONTRIBUTING.md lists the steps. ---


def text(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def documented(function, sections: set[str]) -> None:
    """Asserts that a docstring has these sections, and names each argument."""
    doc = inspect.getdoc(function)
    assert sections <= set(re.findall(r"^# ([A-Z]\w+)", doc, re.MULTILINE)), function
    parameters = inspect.signature(function).parameters
    assert [name for name in parameters if not re.search(rf"^    \*{{0,2}}{name}: ", doc, re.MULTILINE)] == []


WITHOUT_RECIPE = {"ResNet34", "FloatResNet34"}  # the paper gives none for the first; the second is a teacher
ARCHITECTURES = [zoo.architecture(name) for name in zoo.__all__ if name in zoo.registry._ARCHITECTURES]
PUBLISHED = [entry for found in ARCHITECTURES for entry in published(found.name)]
RECIPES = sorted(path for path in (ROOT / "sdbnn_larq/recipes").glob("*.py") if path.stem != "__init__")


def test_every_architecture_is_public():
    assert {found.name for found in ARCHITECTURES} == set(zoo.registry._ARCHITECTURES)


@pytest.mark.parametrize("found", ARCHITECTURES, ids=lambda found: found.name)
def test_architecture_is_complete(found):
    documented(found.function, {"Arguments", "Returns", "Raises", "References"})
    assert found.function.__doc__.startswith("Instantiates ")
    parameters = inspect.signature(found.function).parameters.values()
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters)
    assert Path(inspect.getfile(found.factory)) == Path(inspect.getfile(inspect.unwrap(found.function)))
    assert f"| `{found.name}` |" in text("docs/models.md") or not found.listed
    assert found.factory.checkpoint_names is not SDBNNFactory.checkpoint_names, "no mapping to a checkpoint's names"
    in_recipes = any(found.factory.__name__ in path.read_text("utf-8") for path in RECIPES)
    assert in_recipes or found.name in WITHOUT_RECIPE


DATA_SETS = [
    value for value in vars(training).values() if isinstance(value, type) and issubclass(value, zookeeper.tf.Dataset)
]


@pytest.mark.parametrize("data_set", DATA_SETS, ids=lambda data_set: data_set.__name__)
def test_data_set_is_complete(data_set):
    assert data_set.__name__ in training.__all__
    assert data_set.__doc__
    assert isinstance(data_set.preprocessing, zoo.ImagePreprocessing)
    assert f"| `{data_set.__name__}` |" in text("docs/training.md")


@pytest.mark.parametrize("name", TARGETS)
def test_export_target_is_complete(name):
    assert (ROOT / "sdbnn_larq/convert" / name).is_dir()
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert name in setup["options.extras_require"]
    assert f"--to {name}" in text("docs/deployment.md")
    assert name in re.search(r"^NEEDS = {.*?^}", text("tests/test_examples.py"), re.MULTILINE | re.DOTALL)[0]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_in_the_table(path):
    command = re.search(r"^    (sdbnn train .*)", ast.get_docstring(ast.parse(path.read_text("utf-8"))), re.MULTILINE)[
        1
    ]
    (row,) = [line for line in text("training/README.md").splitlines() if f"sdbnn_larq/recipes/{path.name}" in line]
    assert row.split("`")[1].split()[:3] == command.split()[:3]
    assert "data_dir=DIR" not in command or "data_dir=DIR" in row


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda e: e.name)
def test_published_weights_are_in_the_tables(entry):
    card = f"{entry.description.architecture}_{entry.tag}.md".lower()
    (row,) = [line for line in text("zoo/README.md").splitlines() if f"[`{entry.name}`]({card})" in line]
    for what in (f"{entry.accuracy:.2f} %", f"{entry.images:,} test images", f"{entry.size:,} bytes"):
        assert what in row
    assert row.endswith(f"| {entry.description.provenance['licence']} |")
    for path in ("README.md", "docs/weights.md"):
        assert f"`{entry.name}`](" in text(path)
        assert f"{entry.accuracy:.2f} %" in text(path)


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda e: e.name)
def test_every_number_of_a_card_is_in_a_committed_file(entry):
    """The generated part is what figures and catalogue give; what is added repeats them, other runs or the authors."""
    stem = f"{entry.description.architecture}_{entry.tag}".lower()
    known, card = json.loads(text(f"zoo/{stem}.json")), text(f"zoo/{stem}.md")
    generated = render(entry, known, stem)
    assert card.startswith(generated)
    assert (known["images"], round(100 * known["right"] / known["images"], 2)) == (entry.images, entry.accuracy)
    runs = json.loads(text("benchmarks/gpu_runs.json"))["rows"]
    pages = text("docs/models.md"), text("docs/reproducing-the-paper.md")  # which have tests of their own
    said = " ".join([generated, *pages, *(f"{run['test_percent']:.2f} %" for run in runs)])
    assert [share for share in re.findall(r"[\d.]+ %", card[len(generated) :]) if share not in said] == []


def test_the_version_has_its_changes():
    assert re.search(rf"^## {re.escape(sdbnn_larq.__version__)}\b", text("CHANGELOG.md"), re.MULTILINE)


PAGES = sorted(path for folder in (".", "docs", "training", "zoo") for path in (ROOT / folder).glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    local = [link.split("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_navigation_of_the_site():
    entries = re.findall(r"\S+(?=\n)", text("mkdocs.yml"))
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in entries] == []


def test_every_page_can_be_found():
    linked = {(ROOT / link).resolve() for link in re.findall(r"\]\(([^)\s#]+)", text("README.md"))}
    assert [page.name for page in (ROOT / "docs").glob("*.md") if page.resolve() not in linked] == []


def test_documented_benchmarks_have_their_options():
    sources = [*PAGES, *(path for folder in ("sdbnn_larq", "benchmarks") for path in (ROOT / folder).rglob("*.py"))]
    commands = {
        command
        for path in sources
        for command in re.findall(r"python (benchmarks/\w+\.py(?: +[^`\n]*)?)", path.read_text("utf-8"))
    }
    assert len(commands) > 20
    shared = text("benchmarks/_variants.py")
    for command in commands:
        script, *words = command.split()
        known = text(script) + shared
        assert [word for word in words if word.startswith("--") and f'"{word}"' not in known] == [], command
