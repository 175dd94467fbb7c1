"""The accuracy of a run, in PyTorch; `to_run.py` measures it in Keras, but for networks that the zoo does not have.

python training/gpu/evaluate.py runs/relu-teacher --data TFDS
"""

import argparse
from pathlib import Path

import torch
from images import check_size, read, read_cifar10
from run_files import check_classes, read_run
from train import Recipe, evaluate, load


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that train.py wrote")
    parser.add_argument("--data", required=True, help="tensorflow-datasets' folder, whose test images count, or images")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        known = read_run(given.run)
        prepared = Path(given.data, "cifar10").is_dir()
        images, labels, class_names = read_cifar10(given.data, "test") if prepared else read(given.data)
        check_classes("Images", class_names, known["class_names"])
        check_size(images, known["network"])
        augmentation = Recipe(known["network"], input_size=known["input_size"]).augmentation()
        share = evaluate(load(given.run, device), augmentation, images.to(device), labels.to(device))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{known['network']}: {share:.2%} of {len(images):,} images")


if __name__ == "__main__":
    main()
