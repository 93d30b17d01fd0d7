"""One family of errors. Every message gives the value, the rule it broke and the remedy."""


class PatchVSRError(Exception):
    """A problem the user can fix; its message is one sentence meant to be read by them."""


class PlanError(PatchVSRError):
    """A size, scale or layout that cannot be planned."""


class AdapterError(PatchVSRError):
    """An adapter file that is damaged, or made for another base model."""


class ModelError(PatchVSRError):
    """A base model, VAE or refiner that cannot be used as it is."""


class MediaError(PatchVSRError):
    """An input that cannot be read as video."""


class OutputError(PatchVSRError):
    """An output that cannot be written."""


class ProcessGroupError(PatchVSRError):
    """Another process that works on the same clip ended."""


class Cancelled(PatchVSRError):
    """The user stopped the run."""
