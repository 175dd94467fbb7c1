"""The notebooks of the site run, on little data, and show what they computed when they were last run."""

import re
from pathlib import Path

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("larq_compute_engine")
pytest.importorskip("openvino")
import nbformat

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


@pytest.fixture
def runner(monkeypatch):
    """`docs/site/run_notebooks.py`, whose kernels are this interpreter with this checkout."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    import run_notebooks

    return run_notebooks


def small(name, photographs):
    """Parameters for a run of a few seconds."""
    if name == "ten-minutes":
        return {"epochs": 2}
    return {
        "photographs": str(photographs),
        "epochs": 2,
        "head_epochs": 1,
        "batch_size": 4,
        "program": str(ROOT / "examples/classify_openvino.py"),
    }


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_notebook_runs(notebook, runner, photographs, tmp_path):
    content = nbformat.read(notebook, as_version=4)
    small_run = runner.with_parameters(content, small(notebook.stem, photographs))
    executed = runner.run(small_run, tmp_path)
    kinds = [[output.output_type for output in cell.outputs] for cell in executed.cells if cell.cell_type == "code"]
    stored = [[output.output_type for output in cell.outputs] for cell in content.cells if cell.cell_type == "code"]
    assert kinds == stored


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_stored_outputs_are_of_one_whole_run(notebook):
    content = nbformat.read(notebook, as_version=4)
    cells = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert re.search(r"/(home|root|tmp|work)/", notebook.read_text("utf-8")) is None


def test_a_parameter_that_no_cell_sets_is_refused(runner):
    content = nbformat.read(NOTEBOOKS[0], as_version=4)
    with pytest.raises(ValueError, match="must set `epoch`"):
        runner.with_parameters(content, {"epoch": 3})
