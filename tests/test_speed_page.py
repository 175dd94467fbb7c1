"""The pages on speed, deployment and transfer learning say what their benchmarks measured."""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINES = (ROOT / "docs/speed.md").read_text("utf-8").splitlines()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES if line.startswith("|")]


def figures(name):
    return json.loads((ROOT / f"benchmarks/{name}.json").read_text())


def test_throughput():
    networks = figures("train_throughput")["networks"]
    head = [f"{name}, b{network['batch']}" for name, network in networks.items()]
    table = ROWS[ROWS.index(["", *head]) + 2 :]
    expected = {
        variant: [
            f"{network['images_per_second'][variant]['median']:.0f} ({network['ratio to PyTorch eager'][variant]:.2f})"
            for network in networks.values()
        ]
        for variant in networks["ResNet20"]["images_per_second"]
    }
    for reference in ("float32", "before", "plain binary, mixed"):
        ratios = [f"{network[f'ratio to {reference}']['mixed']:.2f}" for network in networks.values()]
        expected[f"mixed / {reference}"] = ratios
    assert {row[0]: row[1:] for row in table[: len(expected)]} == expected


def test_first_step():
    networks = figures("first_step")["networks"]
    for name, network in zip(("ResNet20", "ResNet18 at 128 pixels"), networks.values(), strict=True):
        seconds = [f"{network['seconds'][when]['median']} s" for when in ("in the step", "before")]
        assert [name, *seconds, f"{network['ratio']:.2f}"] in ROWS


def test_two_processes():
    for name, network in figures("two_processes")["networks"].items():
        one, *others = network["ratio_to_one_process"]
        expected = [str(network["batch"]), f"{network['images_per_second'][one]['median']:.0f} images/s"]
        expected += [f"× {network['ratio_to_one_process'][other]:.2f}" for other in others]
        assert [name, *expected] in ROWS


def test_small_batches():
    found = figures("small_batches")
    for name, spread in found["milliseconds_a_step"].items():
        assert [name, f"{spread['median']:.1f}", f"{found['ratio_to_the_recipe'][name]:.2f}"] in ROWS


def test_scaling():
    epochs = figures("scaling")["epochs"]
    for images, batch in {(row["images"], row["batch"]) for row in epochs}:
        cells = [f"{images:,}", str(batch)]
        for row in sorted(epochs, key=lambda row: row["processes"]):
            if (row["images"], row["batch"]) == (images, batch):
                cells += [f"{row['seconds']:.1f} s", f"{row['images_per_second']:.0f}"]
                cells += [f"{row['MiB_per_process']:,} MiB"]
        assert cells in ROWS


def test_precision_accuracy():
    for precision, found in figures("precision_accuracy")["validation_accuracy"].items():
        assert [precision, f"{100 * found['mean']:.1f} ± {100 * found['deviation']:.1f} %"] in ROWS
        assert len(found["of each seed"]) == 3


def test_runs_on_a_gpu():
    """The table of the page about training."""
    page = (ROOT / "docs/training.md").read_text("utf-8")
    rows = {row["run"]: row for row in figures("gpu_runs")["rows"]}
    for name, data in (
        ("ResNet18", "Imagenette"),
        ("VGGSmall", "CIFAR-10"),
        ("CifarResNet18", "CIFAR-10"),
        ("ResNet20", "CIFAR-10"),
    ):
        run = rows[name.lower()]
        teacher = rows[run["teacher"]]
        shown = (rows.get(f"{name.lower()}-twin", teacher), teacher, run)
        percent = " | ".join(f"{row['test_percent']:.2f} %" for row in shown)
        assert f"| {name}, {data} | {percent} |" in page


def test_trained_weights_in_each_runtime():
    """The table of the page about deployment, and what the README says of it."""
    page = (ROOT / "docs/deployment.md").read_text("utf-8")
    networks = {
        "ResNet18/imagenette": "resnet18_imagenette",
        "VGGSmall/cifar10": "vggsmall",
        "CifarResNet18/cifar10": "cifarresnet18",
        "ResNet20/cifar10": "resnet20",
    }
    measured = {network: {row["name"]: row for row in figures(file)["rows"]} for network, file in networks.items()}

    def milliseconds(row):
        median = row["latency_ms"]["median"]
        return f"{median:.2f} ms" if median < 10 else f"{median:.1f} ms"

    def shown(row):
        return f"{milliseconds(row)}, {row['top1']:.2%}".replace("%", " %") if "top1" in row else milliseconds(row)

    for label, name in (
        ("Keras", "Keras"),
        ("LCE", "LCE"),
        ("OpenVINO, float32", "OpenVINO"),
        ("OpenVINO, bf16", "OpenVINO, bf16"),
        ("OpenVINO, 8-bit stem and shortcuts (`--int8`)", "OpenVINO, int8 stem and shortcuts"),
        ("float32 twin, OpenVINO", "float32 twin, OpenVINO"),
        ("int8 twin, OpenVINO", "int8 twin, OpenVINO"),
    ):
        assert f"| {label} | {' | '.join(shown(rows[name]) for rows in measured.values())} |" in page
    readme = (ROOT / "README.md").read_text("utf-8").splitlines()
    for network, rows in measured.items():
        (line,) = [line for line in readme if line.startswith(f"| [`{network}`]")]
        columns = [rows[name] for name in ("OpenVINO", "float32 twin, OpenVINO", "int8 twin, OpenVINO")]
        assert line.endswith(f"| {' | '.join(milliseconds(row) for row in columns)} |")
        card = (ROOT / "zoo" / f"{network.replace('/', '_').lower()}.md").read_text("utf-8")
        assert line.split(" | ")[3].removesuffix(" %") in card  # the float twin's accuracy


def test_fine_tuning_from_photographs():
    """The table of the page about transfer learning, and the README's sentence."""
    found = figures("fine_tune_imagenette")
    page, readme = ((ROOT / path).read_text("utf-8") for path in ("docs/transfer-learning.md", "README.md"))
    for start, label in (
        ("ResNet18/imagenette", "`FineTune` from `ResNet18/imagenette`"),
        ("weights drawn anew", "`FineTune` from weights drawn anew, without `head_epochs`"),
    ):
        each, mean = found["accuracy of each seed"][start], found["mean accuracy"][start]
        assert f"| {label} | {mean:.1f} % ({min(each):.1f} to {max(each):.1f}) |" in page
        assert f"{mean:.1f} %" in readme


def test_shifts_close_to_1():
    page = (ROOT / "docs/deployment.md").read_text("utf-8")
    for name, result in figures("saturated_shifts").items():
        without, limited = result["largest shift"].values()
        counts = [
            f"{rows[runtime]['other class']} / {rows[runtime]['other probability, by more than 0.001']:,}"
            for runtime in ("OpenVINO", "LCE")
            for rows in (without, limited)
        ]
        assert f"| `{name}` | {' | '.join(counts)} |" in page
    (result,) = figures("saturated_shifts_imagenette").values()
    for rows in result["largest shift"].values():
        openvino, lce = (rows[runtime]["other probability, by more than 0.001"] for runtime in ("OpenVINO", "LCE"))
        said = f"{openvino} of {result['images']:,} photographs another probability in OpenVINO and {lce} in LCE"
        said += f", which gives {rows['LCE']['other class']} another class"
        assert said in page
        assert rows["OpenVINO"]["other class"] == 0
