"""Short runs on held-out images, then the float twin and long runs of what was best, all in a given time.

    python training/gpu/search.py ResNet18 --data IMAGENETTE/train --output runs/resnet18 --seconds 600

Writes `search.json`, a row for each short run, and for each long one a folder as `train.py` does. Runs that do not fit
into the time are left out, and it says so.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import torch
from images import read_cifar10, read_photographs
from networks import PHOTOGRAPH_NETWORKS, build, initialize
from train import Recipe, as_teacher, compiled, train, write

SGD = {"optimizer": "sgd", "weight_decay": 5e-4}
BRANCH = {"branch_gamma": 0.1}
# Of the float twin, of the 1-bit network, and what is then added to the best of those, one at a time.
CANDIDATES = {
    "ResNet18": (
        [{**SGD, "learning_rate": rate, "label_smoothing": 0.1} for rate in (0.1, 0.03)],
        [{"learning_rate": rate} for rate in (1e-3, 2e-3, 4e-3)],
        [{"label_smoothing": 0.1}, {"alpha": 0.5}, {"alpha": 0.9}],
    ),
    "VGGSmall": ([{**SGD, "learning_rate": 0.1}], [{"learning_rate": 1e-3}, {"learning_rate": 3e-3}], [{"alpha": 0.5}]),
    "CifarResNet18": (
        [{**SGD, **BRANCH, "learning_rate": 0.1}],
        [{**BRANCH, "learning_rate": 1e-3}, {**BRANCH, "learning_rate": 3e-3}],
        [{"alpha": 0.5}],
    ),
    "ResNet20": (
        [{**SGD, **BRANCH, "learning_rate": 0.1}],
        [{**BRANCH, "learning_rate": 5e-3, "shift": 2}],
        [{"alpha": 0.5}],
    ),
}


class Search:
    """A network and its float twin, compiled once for all runs."""

    def __init__(self, network, images, labels, held_out, batch_size, folder):
        self.network, self.images, self.labels = network, images, labels
        self.batch_size, self.folder = batch_size, folder
        self.rows, self.shares, self.pace = [], {}, {}
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).to(images.device)
        count = int(len(images) * held_out)
        self.held_out = images[order[:count]], labels[order[:count]]
        self.others = images[order[count:]], labels[order[count:]]
        classes = int(labels.max()) + 1
        twin, net, teacher = (
            initialize(build(network, binary=binary, classes=classes)).to(images.device)
            for binary in (False, True, False)
        )
        self.nets = {False: (twin, compiled(twin)), True: (net, compiled(net))}
        self.teacher_net, self.teacher = teacher, as_teacher(teacher)

    def recipe(self, epochs, fields):
        return Recipe(self.network, epochs=epochs, batch_size=self.batch_size, **fields)

    def try_out(self, epochs, fields):
        """Notes the share of the held-out images that a short run classifies correctly."""
        recipe = self.recipe(epochs, fields)
        history = train(
            recipe, *self.nets[recipe.binary], *self.others, teacher=self.teacher, held_out=self.held_out, say=quiet
        )
        self.note_pace(recipe, history, len(self.others[0]))
        share = self.shares[str(fields)] = history[-1]["val_accuracy"]
        self.rows.append({**dataclasses.asdict(recipe), "images": len(self.held_out[0]), "held_out_accuracy": share})
        (self.folder / "search.json").write_text(json.dumps(self.rows, indent=1) + "\n")
        print(f"{share:.4f} {epochs} epochs {fields}", flush=True)

    def best(self, epochs, candidates):
        for fields in candidates:
            if str(fields) not in self.shares:
                self.try_out(epochs, fields)
        return max(candidates, key=lambda fields: self.shares[str(fields)])

    def teach(self):
        """Makes the float twin as it is the teacher."""
        self.teacher_net.load_state_dict(self.nets[False][0].state_dict())

    def note_pace(self, recipe, history, images):
        self.pace[recipe.binary, recipe.alpha > 0] = history[-1]["seconds"] / images * len(self.images)

    def long_run(self, epochs, fields, name, left):
        """Trains on all images, if the seconds that are left suffice; the twin may take half of them."""
        recipe = self.recipe(epochs, fields)
        needed = epochs * self.pace[recipe.binary, recipe.alpha > 0]
        if needed > (left if recipe.binary else left / 2):
            print(f"Left out: {name}, {needed:.0f} s with {left:.0f} s left.", flush=True)
            return
        net, step = self.nets[recipe.binary]
        history = train(recipe, net, step, self.images, self.labels, teacher=self.teacher, say=quiet)
        self.note_pace(recipe, history, len(self.images))
        write(self.folder / name, recipe, net, history, images=len(self.images), classes=int(self.labels.max()) + 1)
        print(f"{name}: {history[-1]['accuracy']:.4f} of the training images, {fields}", flush=True)


def quiet(row): ...


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=CANDIDATES)
    parser.add_argument("--data", required=True, help="folder of photographs by class, or of tensorflow-datasets")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--after", type=Path, help="compile, then wait for this file; the time begins with it")
    parser.add_argument("--short", type=int, default=12, help="epochs of a short run")
    parser.add_argument("--twin", type=int, default=80, help="epochs of the float twin")
    parser.add_argument("--long", type=int, nargs="+", default=[80, 200], help="epochs of long runs with seed 0")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2], help="more seeds of the first long run")
    parser.add_argument("--held-out", type=float, default=0.2)
    parser.add_argument("--batch-size", type=int, default=128)
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    read = read_photographs if given.network in PHOTOGRAPH_NETWORKS else read_cifar10
    images, labels, *_ = read(given.data)
    given.output.mkdir(parents=True, exist_ok=True)
    search = Search(given.network, images.to(device), labels.to(device), given.held_out, given.batch_size, given.output)
    twins, nets, additions = CANDIDATES[given.network]
    twins = [{**fields, "binary": False} for fields in twins]
    if given.after:
        for binary, fields in ((False, twins[0]), (True, {**nets[0], "alpha": 0.5})):
            few = slice(4 * given.batch_size)
            train(search.recipe(1, fields), *search.nets[binary], images[few].to(device), labels[few].to(device),
                  teacher=search.teacher, say=quiet)  # fmt: skip
        while not given.after.exists():
            time.sleep(0.2)
    end = time.time() + given.seconds
    twin = search.best(given.short, twins)
    if twin is not twins[-1]:
        search.try_out(given.short, twin)  # the last one's weights are there now
    search.teach()
    best = search.best(given.short, nets)
    best = search.best(given.short, [best, *({**best, **more} for more in additions)])
    search.long_run(given.twin, twin, "twin", end - time.time())
    search.teach()
    for epochs in given.long:
        search.long_run(epochs, best, f"{epochs}-epochs-seed-0", end - time.time())
    for seed in given.seeds:
        name = f"{given.long[0]}-epochs-seed-{seed}"
        search.long_run(given.long[0], {**best, "seed": seed}, name, end - time.time())


if __name__ == "__main__":
    main()
