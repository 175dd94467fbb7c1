"""What a file of weights holds and where it lies: its description, its format, the catalogue and downloads."""
