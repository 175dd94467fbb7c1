"""Training on a GPU with PyTorch, of the architectures of `sdbnn_larq.zoo`; TensorFlow is not needed.

    python training/gpu/train.py ResNet18 --data IMAGENETTE/train --output runs/resnet18
    python training/gpu/train.py VGGSmall --data TFDS --output runs/vgg --alpha 0.5 --teacher runs/vgg-twin

The folder that is written holds `weights.npz` in the layout of the authors' state dicts, which `sdbnn convert` reads,
`history.csv` and `run.json`.
"""

import argparse
import csv
import dataclasses
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from images import Photographs, SmallImages, check_size, read, unpacked
from mixing import mixed
from networks import NETWORKS, PHOTOGRAPH_NETWORKS, SHIFTS, build, initialize, set_sharpness, with_weight_shift
from run_files import check_classes, read_run
from torch import nn


@dataclasses.dataclass
class Recipe:
    """What a training is; the names are those of the Keras recipes' fields."""

    network: str
    binary: bool = True  # False is the float twin
    self_distribution: str = "both"  # or "activation", "weight", "none"
    relu: bool = False  # in a float teacher, in place of the hard tanh
    epochs: int = 80
    batch_size: int = 128
    optimizer: str = "adam"  # or "sgd", with momentum 0.9
    learning_rate: float = 2e-3  # cosine to 0, per epoch
    weight_decay: float = 0.0  # L2 on all parameters
    t_min: float = 2.0  # the error decay estimator's sharpness, in networks that have it
    t_max: float = 4.0
    branch_gamma: float = 1.0
    label_smoothing: float = 0.0
    mixup: float = 0.0  # α of Beta(α, α); 0 is none
    cutmix: float = 0.0  # α; with mixup, a batch has one of them
    alpha: float = 0.0  # weight of the teacher
    temperature: float = 4.0
    shift: int = 4  # small images
    input_size: int = 128  # photographs
    min_area: float = 0.35
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "batch_size", "input_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}.")
        for name in ("learning_rate", "t_min", "t_max", "temperature", "min_area"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be greater than 0 and finite. Received: {getattr(self, name)}.")
        for name in ("weight_decay", "mixup", "cutmix", "shift", "seed"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more. Received: {getattr(self, name)}.")
        for name in ("alpha", "label_smoothing", "min_area"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1. Received: {getattr(self, name)}.")

    def augmentation(self):
        if self.network in PHOTOGRAPH_NETWORKS:
            return Photographs(self.input_size, self.min_area)
        return SmallImages(self.shift)

    def make_optimizer(self, net):
        fused = next(net.parameters()).is_cuda
        if self.optimizer == "adam":  # epsilon as Keras has it
            return torch.optim.Adam(
                net.parameters(), self.learning_rate, eps=1e-7, weight_decay=self.weight_decay, fused=fused
            )
        return torch.optim.SGD(
            net.parameters(), self.learning_rate, momentum=0.9, weight_decay=self.weight_decay, fused=fused
        )


def train(recipe, net, images, targets, *, teacher=None):
    """Trains from new initial values.

    # Arguments
        recipe: `Recipe`.
        net: of `networks.build`, on the device.
        images: on the device, as are the targets.
        targets: the probability of each class, float32 `(N, classes)`.
        teacher: a trained network that gives logits of the same images, or `None`.

    # Returns
        The history, a dictionary for each epoch.
    """
    steps = len(images) // recipe.batch_size
    if not steps:
        raise ValueError(f"A batch must not exceed the {len(images)} images. Received: {recipe.batch_size}.")
    torch.manual_seed(recipe.seed)
    initialize(net, recipe.branch_gamma).train()
    augmentation, optimizer = recipe.augmentation(), recipe.make_optimizer(net)
    backward = None
    history = []
    for epoch in range(recipe.epochs):
        began = time.perf_counter()
        t = recipe.t_min * (recipe.t_max / recipe.t_min) ** (epoch / recipe.epochs)
        k = max(1 / t, 1.0)
        sharpness = {"ede_t": t, "ede_k": k} if set_sharpness(net, k, t) else {}
        rate = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs))
        for group in optimizer.param_groups:
            group["lr"] = rate
        order = torch.randperm(len(images), device=images.device)
        total, right = (torch.zeros((), device=images.device) for _ in range(2))
        for chosen in order[: steps * recipe.batch_size].view(steps, recipe.batch_size):
            batch = mixed(augmentation.train(images[chosen]), targets[chosen], recipe.mixup, recipe.cutmix)
            first = backward is None
            backward = backward or recorded(recipe, net, teacher, *batch)
            loss, correct = backward(*batch)
            if first:
                check_gradients(net)
            optimizer.step()
            total += loss
            right += correct
        row = {"epoch": epoch, "loss": float(total) / steps, "accuracy": float(right) / (steps * recipe.batch_size)}
        if not math.isfinite(row["loss"]):
            raise ArithmeticError(f"The loss must stay finite. Received: {row}.")
        row.update(lr=rate, **sharpness, seconds=time.perf_counter() - began)
        history.append(row)
        print(row, flush=True)
    return history


def recorded(recipe, net, teacher, *examples):
    """Loss, correct answers and gradients of a batch; on a GPU a graph, which Python starts in no time.

    The graph puts gradients and results into the same memory each time.
    """
    if teacher:
        teacher.eval().requires_grad_(False)
    on_gpu = examples[0].is_cuda
    logits_of, taught_by = (torch.compile(module) if on_gpu and module else module for module in (net, teacher))

    def backward(x, y):
        net.zero_grad(set_to_none=True)
        taught = taught_by(x) if teacher else None
        logits = logits_of(x)
        loss = loss_of(recipe, logits, y, taught)
        loss.backward()
        return loss.detach(), (logits.detach().argmax(1) == y.argmax(1)).sum()

    if not on_gpu:
        return backward
    inputs = [example.clone() for example in examples]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # compiles, and chooses the fastest convolutions, which a recording may not
            backward(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        results = backward(*inputs)

    def replay(*batch):
        for held, given in zip(inputs, batch):
            held.copy_(given)
        graph.replay()
        return results

    return replay


def check_gradients(net):
    """A kernel without gradient leaves a network that still learns, with its other parameters, and looks healthy."""
    without = [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    shifts = [name for name, _ in net.named_parameters() if "beta.fc" in name]  # ReLU may cut some of them off
    if not set(shifts) <= set(without) or not shifts:
        without = [name for name in without if name not in shifts]
    if without:
        raise ArithmeticError(f"All parameters must have a gradient. Received: none for {', '.join(without[:3])}.")


def loss_of(recipe, logits, targets, taught):
    """Of `sdbnn_larq.training.distil`: the targets' cross-entropy and, with the weight α, the teacher's divergence."""
    loss = F.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
    if taught is None:
        return loss
    student, teacher = ((z / recipe.temperature).log_softmax(1) for z in (logits, taught))
    divergence = F.kl_div(student, teacher, log_target=True, reduction="batchmean")
    return recipe.alpha * recipe.temperature**2 * divergence + (1 - recipe.alpha) * loss


@torch.no_grad()
def evaluate(net, augmentation, images, labels, batch=250):
    """Share of the images that are classified correctly."""
    net.eval()
    right = 0
    for first in range(0, len(images), batch):
        chosen = slice(first, first + batch)
        right += int((net(augmentation.evaluate(images[chosen])).argmax(1) == labels[chosen]).sum())
    net.train()
    return right / len(images)


def state_of(net):
    """The state dict as numpy arrays; binary layers' latent weights as their signs, which is all that they compute.

    Signs keep the weights' file small, and Weight Self-Distribution's shift of at most 0.01 leaves them as they are.
    """
    signs = {}
    for name, module in net.named_modules():
        if getattr(module, "binary", False):
            key = "weights" if hasattr(module, "weights") else "weight"
            kernel = getattr(module, key)
            shifted = with_weight_shift(kernel.view(getattr(module, "shape", kernel.shape)), module.alpha)
            signs[f"{name}.{key}"] = torch.where(shifted >= 0, 1, -1).to(torch.int8).view(kernel.shape)
    return {key: signs.get(key, value).detach().cpu().numpy() for key, value in net.state_dict().items()}


def write(folder, recipe, net, history, **more):
    """`weights.npz`, `history.csv` and `run.json`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "weights.npz", **state_of(net))
    with (folder / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in history for key in row)))
        writer.writeheader()
        writer.writerows(history)
    run = {
        **dataclasses.asdict(recipe),
        "seconds": sum(row["seconds"] for row in history),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "torch": torch.__version__,
        **more,
    }
    (folder / "run.json").write_text(json.dumps(run, indent=2) + "\n")


def build_for(recipe, classes):
    names = ("binary", "self_distribution", "relu")
    return build(recipe.network, classes=classes, **{name: getattr(recipe, name) for name in names})


def input_of(run):
    """Pixels of a side of the images that a run's network takes."""
    return run["input_size"] if run["network"] in PHOTOGRAPH_NETWORKS else 32


def load(folder, device):
    """The network that `write` wrote."""
    run = read_run(folder)
    recipe = Recipe(**{field.name: run[field.name] for field in dataclasses.fields(Recipe) if field.name in run})
    net = build_for(recipe, len(run["class_names"])).to(device)
    state = {key: torch.from_numpy(value) for key, value in unpacked(Path(folder) / "weights.npz").items()}
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"A run's weights must be of its network. Received: {str(folder)!r}.") from error
    return net


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", required=True, help="photographs by class, or tensorflow-datasets' folder, or packed")
    parser.add_argument("--output", required=True)
    parser.add_argument("--teacher", help="folder of a run, e.g. of the float twin")
    parser.add_argument("--float-twin", action="store_true")
    parser.add_argument("--held-out", type=float, default=0, help="share of the images that only evaluates")
    parser.add_argument("--relu", action="store_true", help="in place of the hard tanh, for a float teacher")
    for field in dataclasses.fields(Recipe):
        if field.name not in ("network", "binary", "relu"):
            choices = {"self_distribution": SHIFTS, "optimizer": ("adam", "sgd")}.get(field.name)
            option = f"--{field.name.replace('_', '-')}"
            parser.add_argument(option, type=field.type, default=field.default, choices=choices)
    given = vars(parser.parse_args())
    data, output, teacher, held_out = (given.pop(name) for name in ("data", "output", "teacher", "held_out"))
    try:
        recipe = Recipe(binary=not given.pop("float_twin"), **given)
    except ValueError as error:
        parser.error(str(error))
    if bool(teacher) != (recipe.alpha > 0):
        parser.error(f"--teacher needs an --alpha above 0, and the other way round. Received: --alpha {recipe.alpha}.")
    if not 0 <= held_out < 1:
        parser.error(f"--held-out must be at least 0 and below 1. Received: {held_out}.")
    if Path(output, "run.json").exists():
        parser.error(f"--output must not hold a run. Received: {output!r}.")
    try:
        Path(output).mkdir(parents=True, exist_ok=True)  # before hours of training
        run(recipe, data, output, teacher, held_out)
    except (OSError, ValueError, ArithmeticError) as error:
        parser.error(str(error))


def run(recipe, data, output, teacher, held_out):
    """Trains by a recipe and writes the run."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    images, labels, class_names = read(data)
    check_size(images, recipe.network)
    images, labels = images.to(device), labels.to(device)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).to(device)
    evaluated, trained = order.tensor_split([int(len(images) * held_out)])
    if held_out and not len(evaluated):
        raise ValueError(f"--held-out must be at least one of {len(images)} images. Received: {held_out}.")
    net = build_for(recipe, len(class_names)).to(device)
    if teacher:
        known = read_run(teacher)
        check_classes("--teacher", known["class_names"], class_names)
        if input_of(known) != input_of(dataclasses.asdict(recipe)):
            raise ValueError(
                f"--teacher must take images of {input_of(dataclasses.asdict(recipe))} pixels. "
                f"Received: a {known['network']} for {input_of(known)}."
            )
        if known["images"] != len(trained):
            raise ValueError(f"--teacher must be of the same {len(trained)} images. Received: {known['images']}.")
        teacher = load(teacher, device)
    targets = F.one_hot(labels, len(class_names)).float()
    history = train(recipe, net, images[trained], targets[trained], teacher=teacher)
    more = {"images": len(trained), "class_names": class_names}
    if held_out:
        share = evaluate(net, recipe.augmentation(), images[evaluated], labels[evaluated])
        more.update(held_out_images=len(evaluated), held_out_accuracy=share)
        print(f"{share:.4f} of {len(evaluated)} held-out images")
    write(output, recipe, net, history, **more)


if __name__ == "__main__":
    main()
