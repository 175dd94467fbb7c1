"""`sdbnn predict`: the classes of images."""

from sdbnn_larq import zoo
from sdbnn_larq.evaluation import load_network
from sdbnn_larq.evaluation import predict as outputs_of


def predict(name: str, images: tuple[str, ...], weights: str | None, top: int, runtime: str) -> None:
    """Prints the most probable classes of each image."""
    network = load_network(name, weights)
    outputs = outputs_of(network, images, runtime)
    description = zoo.describe(network)
    if description.class_names is None:  # as for a converted checkpoint
        description = description.replace(class_names=tuple(f"class {i}" for i in range(outputs.shape[1])))
    for path, best in zip(images, zoo.decode_predictions(outputs, top, description)):
        print(f"{path}: " + ", ".join(f"{label} {share:.1%}" for label, share in best))
