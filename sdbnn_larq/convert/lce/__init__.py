"""Larq Compute Engine, the runtime for ARM: export, and the `.tflite` file."""
