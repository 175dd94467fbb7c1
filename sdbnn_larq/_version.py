"""The version, in one place: for an installed package and for one that is imported from a checkout."""

__version__ = "0.2.0"
