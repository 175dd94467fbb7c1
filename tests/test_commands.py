"""The commands of the documentation's pages run, or at least are commands of this version."""

import shlex
import shutil

import click
import pytest
from click.testing import CliRunner
from code_blocks import PAGES, blocks
from zookeeper import configure

from sdbnn_larq.cli import main
from sdbnn_larq.cli._fields import parse_fields
from sdbnn_larq.recipes import task_class


def commands(code):
    """The arguments of each `sdbnn` in a shell block."""
    for line in code.replace("\\\n", "").splitlines():
        words = shlex.split(line, comments=True)
        for i, word in enumerate(words):
            if word.endswith("sdbnn"):
                yield words[i + 1 :]


def parameters(block):
    return pytest.param(block, id=block.name)


SHELL = blocks("bash")


def test_no_block_is_missed():
    """Nor does one that is not run take those below it along."""
    fences = sum(line.startswith("```") for page in PAGES for line in page.read_text("utf-8").splitlines())
    assert 2 * len(blocks()) == fences
    assert not any("\n" in block.not_run for block in blocks())


def test_a_block_has_a_language_that_is_tested_or_none_at_all():
    assert {block.language for block in blocks()} <= {"bash", "python", "text"}


@pytest.mark.slow
@pytest.mark.parametrize("block", [parameters(block) for block in SHELL if not block.not_run])
def test_commands_run(block, photographs, tmp_path, monkeypatch):
    pytest.importorskip("larq_compute_engine")
    pytest.importorskip("openvino")
    monkeypatch.chdir(tmp_path)
    shutil.copy(photographs / "china" / "0.jpg", "photo.jpg")
    found = list(commands(block.code))
    assert len(found) == len(block.code.splitlines())
    for arguments in found:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, (arguments, result.output)


@pytest.mark.parametrize("block", [parameters(block) for block in SHELL])
def test_commands_are_known(block):
    for words in commands(block.code):
        group, arguments = main, words
        while isinstance(group, click.Group):
            name, group, arguments = group.resolve_command(click.Context(group), arguments)
            assert group is not None, words
        given = group.make_context(name, arguments).params
        if name in ("train", "tune") and not given["task"].endswith(".py"):
            task = task_class(given["task"])
            configure(task(), parse_fields(given["config"], task), interactive=False)


@pytest.mark.parametrize("command", ["sdbnn predict --topp 3 a b", "sdbnn trane Digits", "sdbnn train Digits epoch=3"])
def test_a_command_that_is_not_known_is_found(command):
    with pytest.raises((click.UsageError, ValueError)):
        test_commands_are_known(type(SHELL[0])("", "bash", command, ""))
