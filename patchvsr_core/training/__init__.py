"""Training of the tiny default: ``python -m patchvsr_core.training train``."""
