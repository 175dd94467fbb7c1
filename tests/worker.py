"""One worker of a cluster on this machine: runs the tiny recipe under TF_CONFIG.

python worker.py INDEX PORT,PORT [key=value ...]
"""

import json
import os
import sys
from pathlib import Path

index, ports, *fields = sys.argv[1:]
workers = [f"127.0.0.1:{port}" for port in ports.split(",")]
os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": int(index)}})
sys.path.insert(0, str(Path(__file__).parent))

from sdbnn_larq.cli._train import run_task  # noqa: E402

run_task(str(Path(__file__).parent / "tiny_recipe.py"), ("strategy=multiworker", *fields))
