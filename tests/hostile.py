"""Weights and jobs that are broken on purpose, the same for a seed: what ends in one sentence, and what does not."""

from __future__ import annotations

import json
import math
import random
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from small_models import random_dap, random_rdg, random_wan

from patchvsr_core.adapter import Adapter, AdapterConfig, BaseSpec, load_adapter, save_adapter
from patchvsr_core.cli.parser import make_parser
from patchvsr_core.degradation import DegradationEstimator, EstimatorConfig, load_estimator, save_estimator
from patchvsr_core.errors import ModelError, PatchVSRError
from patchvsr_core.files import read_checkpoint, store_as_int8, write_weights
from patchvsr_core.finish.refine import FORMAT, Refiner, RefinerConfig, load_refiner, refine_frames
from patchvsr_core.hosts.diffusers.loading import load_base, load_prompt
from patchvsr_core.hosts.diffusers.models import Models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.realtime.dap import save_dap
from patchvsr_core.realtime.rdg import save_rdg
from patchvsr_core.realtime.upscaler import load_fast
from patchvsr_core.restorer import Restorer, RestorerConfig, load_restorer, save_restorer
from patchvsr_core.restorer.restore import restore_clip
from patchvsr_core.settings import Settings
from patchvsr_core.vae.conditional_decoder import (
    ConditionalDecoder,
    ConditionalDecoderConfig,
    load_conditional_decoder,
    save_conditional_decoder,
)

SECONDS = 20
"""That a file or job may take, at most."""
CLIP = torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(0))
BASE = BaseSpec(16, 128, 2, 192, 64)
VALUES = (0, -1, 1, 3, 10**6, 10**18, 1.5, "x", "", None, True, [], [1], {}, math.nan, math.inf)


def write_all(folder: Path) -> dict[str, tuple[Path, Callable[[Path], Any]]]:
    """A small file of every kind, and what uses one."""
    torch.manual_seed(0)
    paths = {kind: folder / f"{kind}.safetensors" for kind in USES if kind not in ("rdg-zip", "rdg-old")}
    paths |= {kind: folder / f"{kind}.pth" for kind in ("rdg-zip", "rdg-old")}
    save_adapter(Adapter(AdapterConfig(BASE, width=32, head_dim=16, ffn=32, lora_rank=2)), paths["adapter"])
    save_file(random_wan(), str(paths["base"]), metadata={"start_noise": "0.1", "prediction": "residual"})
    store_as_int8(paths["base"], paths["base-int8"])
    save_conditional_decoder(ConditionalDecoder(ConditionalDecoderConfig(64, 32)), paths["decoder"])
    save_dap(random_dap(), paths["dap"])
    save_rdg(random_rdg(), paths["rdg"])
    torch.save({"params": random_rdg().state_dict()}, paths["rdg-zip"])
    torch.save(random_rdg().state_dict(), paths["rdg-old"], _use_new_zipfile_serialization=False)
    config = RefinerConfig(8, 2)
    write_weights(paths["refiner"], Refiner(config), config, FORMAT, torch.float32)
    save_restorer(Restorer(RestorerConfig(8, 1, 1, 1)), paths["restorer"])
    save_estimator(DegradationEstimator(EstimatorConfig(8, 8, 2)), paths["estimator"])
    save_file({"prompt": torch.rand(4, 64)}, str(paths["prompt"]))
    return {kind: (path, USES[kind]) for kind, path in paths.items()}


def _use_rdg(path: Path) -> Any:
    read_checkpoint(path, "RDG")
    return load_fast(path).upscale(CLIP)


USES: dict[str, Callable[[Path], Any]] = {
    "adapter": load_adapter,
    "base": load_base,
    "base-int8": load_base,
    "decoder": load_conditional_decoder,
    "dap": lambda path: load_fast(path).upscale(CLIP),
    "rdg": _use_rdg,
    "rdg-zip": _use_rdg,
    "rdg-old": _use_rdg,
    "refiner": lambda path: refine_frames(load_refiner(path), torch.rand(2, 32, 32, 3), CLIP),
    "restorer": lambda path: restore_clip(load_restorer(path), CLIP),
    "estimator": lambda path: load_estimator(path).estimate(CLIP),
    "prompt": lambda path: load_prompt(path, 64),
}


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Flip bytes, cut, insert, or edit the header or its configuration."""
    kinds: list[Callable[[bytes, random.Random], bytes]] = [_flip, _flip_early, _cut, _insert]
    if content[8:9] == b"{":
        kinds += [_edit_header, _edit_config, _edit_config]
    return draw.choice(kinds)(content, draw)


def _flip(content: bytes, draw: random.Random, before: int | None = None) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 4, 64))):
        changed[draw.randrange(min(before or len(changed), len(changed)))] = draw.randrange(256)
    return bytes(changed)


def _flip_early(content: bytes, draw: random.Random) -> bytes:
    """Where headers and pickles are."""
    return _flip(content, draw, before=draw.choice((16, 200, 3000)))


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _insert(content: bytes, draw: random.Random) -> bytes:
    position = draw.randrange(len(content))
    return content[:position] + draw.randbytes(draw.choice((1, 8, 1000))) + content[position:]


def _with_header(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + content[8 + length :]


def _edit_header(content: bytes, draw: random.Random) -> bytes:
    def change(header: dict[str, Any]) -> None:
        entry = header[draw.choice(sorted(header))]
        entry[draw.choice(sorted(entry))] = draw.choice(("F64", "I8", "x", [], [2**40], [-1], [0, 1], None))

    return _with_header(content, change)


def _edit_config(content: bytes, draw: random.Random) -> bytes:
    def change(header: dict[str, Any]) -> None:
        metadata = header.setdefault("__metadata__", {})
        if "config" not in metadata:
            metadata[draw.choice(sorted(metadata) or ["format"])] = str(draw.choice(VALUES))
            return
        config = json.loads(metadata["config"])
        config[draw.choice(sorted(config))] = draw.choice(VALUES)
        metadata["config"] = draw.choice((json.dumps(config), json.dumps(config), "[" * 10**5))

    return _with_header(content, change)


def load_mutated(first: int, last: int) -> list[str]:
    """Use mutated files number ``first`` to ``last``; those that end in anything but one sentence or finite values."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        files = write_all(Path(folder))
        for number in range(first, last):
            draw = random.Random(number)
            kind = sorted(files)[number % len(files)]
            path, use = files[kind]
            mutated = path.with_stem("mutated")
            mutated.write_bytes(mutate(path.read_bytes(), draw))
            if found := _judge(lambda use=use, mutated=mutated: use(mutated), ModelError):
                wrong.append(f"{kind} {number}: {found}")
    return wrong


def _judge(act: Callable[[], Any], allowed: type[Exception]) -> str:
    """What is wrong with how something ended; empty where nothing is."""
    begun = time.monotonic()
    try:
        made = act()
    except allowed as error:
        if "\n" in str(error) or "allocate" in str(error):
            return f"no sentence: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    else:
        if isinstance(made, torch.Tensor) and not made.isfinite().all():
            return "it is not finite"
    return "" if time.monotonic() - begun < SECONDS else "it took too long"


def run_fuzzed_jobs(models: Models, first: int, last: int) -> list[str]:
    """Settings of any type and value, through the public face and the command line's parser."""
    wrong = []
    names = [declared.name for declared in fields(Settings)]
    for number in range(first, last):
        draw = random.Random(number)
        changes = {draw.choice(names): _any_value(draw) for _ in range(draw.choice((1, 1, 2, 3)))}

        def run(changes: dict[str, Any] = changes) -> Any:
            settings = Settings(**changes)
            return upscale(CLIP, (24, 24), models, settings)

        if found := _judge(run, PatchVSRError):
            wrong.append(f"{number} {changes}: {found}")
        if found := _judge(lambda changes=changes: _parse(changes), PatchVSRError):
            wrong.append(f"{number} as flags {changes}: {found}")
    return wrong


def _any_value(draw: random.Random) -> Any:
    words = ("all", "0-3", "9-0", "none", "dap", "heun", "cosine", "corner", "2,", "\0", "é" * 50)
    return draw.choice((*VALUES, *words, 2, 8, 16, 64, 0.5, 0.05, -0.0, 2**63, -(2**80), 1e308))


def _parse(changes: dict[str, Any]) -> None:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in changes.items()]
    try:
        with redirect_stderr(StringIO()):
            make_parser().parse_args(["upscale", "a.mp4", "b.mp4", *flags])
    except SystemExit as error:
        assert error.code == 2, error.code
