"""The version, importable without loading anything; pyproject.toml repeats it for the Comfy Registry."""

VERSION = "0.1.0"
