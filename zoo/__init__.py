"""The catalogue of published weights: `registry.json`, the packed files it names and their model cards.

What an entry of `registry.json` says is described by `Entry` in `sdbnn_larq/zoo/_catalogue.py`; `sdbnn publish` writes
entry, file and card. In an installed package this folder is `sdbnn_larq.catalogue`.
"""
