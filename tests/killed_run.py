"""Runs the tiny recipe, and kills its own process at the N-th call of a function.

python killed_run.py MODULE:FUNCTION N SIGNAL [key=value ...]
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from sdbnn_larq.cli._train import run_task

target, count, name, *fields = sys.argv[1:]
module, path = target.split(":")
owner = import_module(module)
*parents, attribute = path.split(".")
for parent in parents:
    owner = getattr(owner, parent)
function = getattr(owner, attribute)
calls = 0


def counted(*args, **kwargs):
    global calls
    calls += 1
    if calls == int(count):
        os.kill(os.getpid(), getattr(signal, name))
    return function(*args, **kwargs)


setattr(owner, attribute, counted)
run_task(str(Path(__file__).parent / "tiny_recipe.py"), tuple(fields))
