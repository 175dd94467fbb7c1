"""The accuracy of a run, in PyTorch; `to_run.py` measures it in Keras, but for networks that the zoo does not have.

python training/gpu/evaluate.py runs/relu-teacher --data TFDS
"""

import argparse
import json
from pathlib import Path

import torch
from images import check_size, read, read_cifar10
from train import Recipe, evaluate, load


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that train.py wrote")
    parser.add_argument("--data", required=True, help="tensorflow-datasets' folder, whose test images count, or images")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        known = json.loads((given.run / "run.json").read_text("utf-8"))
        prepared = Path(given.data, "cifar10").is_dir()
        images, labels = read_cifar10(given.data, "test") if prepared else read(given.data)
        if int(labels.max()) + 1 != known["classes"]:
            raise ValueError(f"Images must be of {known['classes']} classes. Received: {int(labels.max()) + 1}.")
        check_size(images, known["network"])
        augmentation = Recipe(known["network"], input_size=known["input_size"]).augmentation()
        share = evaluate(load(given.run, device), augmentation, images.to(device), labels.to(device))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{known['network']}: {share:.2%} of {len(images):,} images")


if __name__ == "__main__":
    main()
