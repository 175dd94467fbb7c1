"""Trains several networks at a time, so that a GPU works while other networks compile.

    python training/gpu/side_by_side.py training/gpu/imagenette.txt --data imagenette.npz --output runs --workers 4

Each line of the file is a run: its name, then what `train.py` takes but for the data and the output. `--teacher` names
another run, which is trained first, wherever its line stands. Runs that were finished earlier are left as they are.
"""

import argparse
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

TRAIN = Path(__file__).resolve().with_name("train.py")


def read_jobs(lines, output):
    """The arguments and the teacher of each run that is not finished, by its name."""
    of_teacher = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    of_teacher.add_argument("--teacher")
    jobs, names = {}, set()
    for line in lines:
        name, *arguments = shlex.split(line)
        if name in names or name != Path(name).name:
            raise ValueError(f"Runs must have names of their own, without folders. Received: {name!r}.")
        names.add(name)
        known, others = of_teacher.parse_known_args(arguments)
        if own := {"--data", "--output"} & {argument.partition("=")[0] for argument in arguments}:
            raise ValueError(f"A run's line must leave out --data and --output. Received: {name} with {min(own)}.")
        if not done(output / name):
            jobs[name] = others, known.teacher
    for name, (_, teacher) in jobs.items():
        if teacher and teacher not in names and not done(output / teacher):
            raise ValueError(f"The teacher of {name} must be one of the runs. Received: {teacher!r}.")
    return jobs


class Runs:
    """What is left to train; threads take from it."""

    def __init__(self, jobs, data, output):
        self.jobs, self.data, self.output = jobs, data, output
        self.changed = threading.Condition()
        self.failed, self.running = [], {}
        self.stopped = False

    def work(self):
        while job := self.take():
            name, arguments = job
            status = 1
            try:
                status = self.train(name, arguments)
            finally:
                with self.changed:
                    del self.running[name]
                    if status:
                        self.failed.append(name)
                    self.changed.notify_all()
            print(f"{name}: {'failed' if status else 'done'}", flush=True)

    def take(self):
        """The first run whose teacher is trained, when there is one; `None` if none is left that ever will be."""
        with self.changed:
            while not self.stopped:
                for name, (arguments, teacher) in self.jobs.items():
                    if teacher is None or done(self.output / teacher):
                        del self.jobs[name]
                        self.running[name] = None
                        return name, arguments + (["--teacher", self.output / teacher] if teacher else [])
                if not self.running.keys() & {teacher for _, teacher in self.jobs.values()}:
                    return None
                self.changed.wait()

    def train(self, name, arguments):
        command = [sys.executable, TRAIN, *arguments, "--data", self.data, "--output", self.output / name]
        with (self.output / f"{name}.log").open("w") as log:
            with self.changed:
                if self.stopped:
                    return 1
                process = self.running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            return process.wait()

    def stop(self):
        with self.changed:
            self.stopped = True
            for process in filter(None, self.running.values()):
                process.terminate()
            self.changed.notify_all()


def done(folder):
    return (folder / "run.json").exists()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    if given.workers < 1:
        parser.error(f"--workers must be at least 1. Received: {given.workers}.")
    try:
        lines = given.runs.read_text("utf-8").splitlines()
        jobs = read_jobs([line for line in lines if line.strip() and not line.strip().startswith("#")], given.output)
        given.output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    runs = Runs(jobs, given.data, given.output)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    workers = [threading.Thread(target=runs.work) for _ in range(given.workers)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    except (KeyboardInterrupt, SystemExit):
        runs.stop()
        raise
    for name, (_, teacher) in runs.jobs.items():
        print(f"{name}: not started, as {teacher} is not trained", flush=True)
    if left := [*runs.failed, *runs.jobs]:
        parser.error(f"All runs must end. Received: {', '.join(left)} did not; {given.output}/NAME.log says why.")


if __name__ == "__main__":
    main()
