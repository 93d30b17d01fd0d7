"""Exceptions. Every message gives the value, the rule that it violates and the remedy."""


class PatchVSRError(Exception):
    """Base class of problems that users can fix; the message is one sentence written for them."""


class PlanError(PatchVSRError):
    """An invalid size, scale or layout."""


class ModelError(PatchVSRError):
    """A base model, VAE or refiner that cannot be used."""


class AdapterError(ModelError):
    """An adapter file that is damaged or made for another base model."""


class MediaError(PatchVSRError):
    """An input that cannot be decoded."""


class OutputError(PatchVSRError):
    """An output that cannot be written."""


class ProcessGroupError(PatchVSRError):
    """Another process of the group exited."""


class Cancelled(PatchVSRError):
    """The user cancelled the run."""
