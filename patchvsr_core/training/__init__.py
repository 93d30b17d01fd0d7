"""Training: ``python -m patchvsr_core.training train``.

A task for each kind of network (the shipped default, refiners, adapters, conditional decoders, real-time networks), the
data that it learns from, and one trainer for all of them.
"""
