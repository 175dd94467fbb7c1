"""The catalogue of published weights: `registry.json`, the packed files it names and their model cards.

`registry.json` is a list of entries, each an object with

- `architecture`: a name of `zoo.list_models()`, and `tag`: what `weights=` takes, one of each kind for an architecture;
- `arguments`: the architecture's keyword arguments that the weights need, e.g. `{"num_classes": 10}`;
- `file`: a file of this folder, or `url`: an `https` address; its `size` in bytes and its `sha256`;
- `dataset`, `input_size`, `mean`, `std`, `classes`: what the network was trained to read;
- `accuracy`: top-1 in per cent, `images`: on how many, `seeds`, `recipe`, `licence`.

The accuracy of an entry is what `sdbnn evaluate` prints for it. In an installed package this folder is
`sdbnn_larq.catalogue`.
"""
