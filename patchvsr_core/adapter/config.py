"""Configuration of an adapter and its base model: the versioned metadata of an adapter file."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import AdapterError, phrase

VERSION = 1


@dataclass(frozen=True)
class BaseSpec:
    """Sizes of a Wan-architecture base model that an adapter depends on."""

    channels: int
    """Latent channels in and out."""
    width: int
    """Hidden size of the transformer."""
    layers: int
    """Number of transformer blocks."""
    ffn: int
    """Hidden size of the feed-forward networks."""
    text_dim: int
    """Size of a text embedding before the base's own projection."""

    def check_same(self, actual: BaseSpec) -> None:
        """Raise unless an adapter made for ``self`` fits the base ``actual``.

        Raises:
            AdapterError: naming the first difference and what to do.
        """
        for name, wording in _WORDING.items():
            expected, found = getattr(self, name), getattr(actual, name)
            if expected != found:
                raise AdapterError(
                    f"This adapter was trained for a base with {expected} {wording}, but the connected model has "
                    f"{found}; load the adapter made for this model, or the model that the adapter names."
                )


_WORDING = {
    "channels": phrase("latent channels"),
    "width": phrase("hidden channels"),
    "layers": phrase("transformer blocks"),
    "ffn": phrase("feed-forward channels"),
    "text_dim": phrase("text channels"),
}


LEAST_HEAD_DIM = 6
"""Two numbers for each of the three axes."""
LIEM_GAINS = {"identity": 2.0, "star": 1.0}
"""Factor on the sigmoid of a local gate: an untrained gate is the identity, or halves its input."""

LORA_TARGETS = (*(f"{kind}_attn.{layer}" for kind in ("self", "cross") for layer in "qkvo"), "ffn.0", "ffn.2")


@dataclass(frozen=True)
class AdapterConfig:
    """Hyper-parameters of an adapter. The branch width is independent of the base's."""

    base: BaseSpec
    width: int = 256
    """Hidden size of both branches."""
    head_dim: int = 64
    """Size of a branch's attention heads; a multiple of 2, and at least 6 for the three axes."""
    ffn: int = 512
    patch_blocks: int = 2
    """Blocks of the patch branch; 0 disables it."""
    global_blocks: int = 2
    """Blocks of the global branch, the first at full resolution, the rest at a quarter of the tokens; 0 disables it.
    The paper draws three."""
    lora_rank: int = 0
    lora_targets: tuple[str, ...] = field(default=("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o"))
    prompt_tokens: int = 8
    """Length of the fixed prompt embedding stored in the file."""
    liem: str = "none"
    """Local gates before self-attention: ``none``, ``identity`` (start as 1) or ``star`` (for weights of STAR)."""
    noised_view: bool = False
    """Whether the view of the whole video gets as much noise as the patch condition, as in the paper. Files from before
    this was a choice, the shipped one among them, were trained with a clean view."""
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise AdapterError(
                f"The adapter file has version {self.version}, but this PatchVSR reads version {VERSION}; "
                "update PatchVSR, or use an adapter made for it."
            )
        if self.head_dim < LEAST_HEAD_DIM or self.head_dim % 2:
            raise AdapterError(
                f"The adapter has attention heads of {self.head_dim}, not an even number from {LEAST_HEAD_DIM}; the "
                "file was edited: get it again."
            )
        unknown = sorted(set(self.lora_targets) - set(LORA_TARGETS))
        if unknown:
            raise AdapterError(
                f"The adapter has LoRA for layers that Wan does not have ({', '.join(unknown)}); choose from "
                f"{', '.join(LORA_TARGETS)}."
            )
        if self.liem not in ("none", *LIEM_GAINS):
            raise AdapterError(
                f"Unknown kind of local gates {self.liem!r}; choose one of {', '.join(('none', *LIEM_GAINS))}."
            )
        if self.width % self.head_dim:
            raise AdapterError(f"The adapter width {self.width} must be a multiple of the head size {self.head_dim}.")
