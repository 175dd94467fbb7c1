"""`sdbnn convert`: checkpoints of other libraries to weights files."""

from pathlib import Path

from sdbnn_larq import zoo
from sdbnn_larq._files import atomic_file
from sdbnn_larq.cli._fields import parse_fields
from sdbnn_larq.convert import load_torch_checkpoint


def convert_torch(file: str, model: str, output: str, config: tuple[str, ...]) -> None:
    """Writes the weights of a checkpoint in the authors' layout, packed or as Keras's HDF5."""
    path = Path(output)
    if path.suffix not in (".safetensors", ".h5"):
        raise ValueError(f"`--output` must end in .safetensors (packed) or .h5 (latent weights). Received: {output!r}.")
    if not path.parent.is_dir():
        raise ValueError(f"`--output` must be in a folder that exists. Received: {output!r}.")
    network = zoo.get_model(model, **parse_fields(config))
    unused = load_torch_checkpoint(network, file)
    if path.suffix == ".h5":
        with atomic_file(path) as temporary:
            network.save_weights(temporary.name, save_format="h5")
    else:
        zoo.save_packed(network, path)
    print(f"{output}: {network.count_params():,} weights of {model}, {path.stat().st_size:,} bytes")
    if unused:
        print(f"Not used: {', '.join(unused)}")
