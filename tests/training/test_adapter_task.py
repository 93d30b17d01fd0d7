"""The adapter of a frozen Wan: precomputed latents, the loss, and the file that comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from clips import colors, write
from safetensors import safe_open
from safetensors.torch import save_file
from small_models import random_vae, random_wan, save

from patchvsr_core.adapter import Adapter, BaseSpec, load_adapter
from patchvsr_core.errors import PatchVSRError
from patchvsr_core.hosts.diffusers.loading import load_base
from patchvsr_core.training.__main__ import main
from patchvsr_core.training.adapter_task import AdapterTask
from patchvsr_core.training.config import DataConfig, FlowObjective, TrainConfig, load_config
from patchvsr_core.training.latents import Latents

TEXT = 64
CONFIG = """
steps = 3
warmup = 1
learning_rate = 1e-3
bfloat16 = false
checkpointing = true
[base]
channels = 16
width = 128
layers = 2
ffn = 192
text_dim = 64
[adapter]
width = 128
head_dim = 128
ffn = 192
patch_blocks = 1
global_blocks = 2
lora_rank = 2
prompt_tokens = 3
[flow]
shift = 3.0
[data]
crop_px = [32]
frames = [1, 5]
scales = [2]
variants = 2
batch = 2
degraded = 0.5
photographs = 0.0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips, a tiny Wan with its VAE, a prompt, and what ``precompute`` made of the clips."""
    folder = tmp_path_factory.mktemp("wan")
    (folder / "clips").mkdir()
    write(folder / "clips" / "clip.mp4", colors(6, 160, 224))
    save(random_wan(), folder / "wan.safetensors")
    save(random_vae(), folder / "vae.safetensors")
    save_file({"anything": torch.randn(3, TEXT)}, str(folder / "prompt.safetensors"))
    (folder / "mine.toml").write_text(CONFIG)
    assert precomputed(folder, folder / "latents") == 0
    return folder


def precomputed(folder: Path, out: Path) -> int:
    paths = ["--data", folder / "clips", "--vae", folder / "vae.safetensors", "--out", out]
    more = ["--config", folder / "mine.toml", "--prompt", folder / "prompt.safetensors", "--samples", 6]
    return main(["precompute", *map(str, paths), *map(str, more)])


def trained(folder: Path, out: Path, *more: object) -> int:
    paths = ["--data", folder / "latents", "--base", folder / "wan.safetensors", "--out", out]
    return main(["train", *map(str, paths), "--config", str(folder / "mine.toml"), *map(str, more)])


def task(folder: Path, **changes: object) -> AdapterTask:
    config: TrainConfig = replace(load_config(folder / "mine.toml"), **changes)
    torch.manual_seed(0)
    return AdapterTask(config, load_base(folder / "wan.safetensors"), torch.zeros(1, 3, TEXT))


def test_precomputing_again_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    assert precomputed(folder, tmp_path) == 0
    files = sorted((folder / "latents" / "samples").iterdir())
    assert len(files) == 12
    for file in files:
        assert (tmp_path / "samples" / file.name).read_bytes() == file.read_bytes(), file.name


def test_variants_share_the_truth_alone(folder: Path) -> None:
    latents = Latents(folder / "latents", DataConfig(batch=1), 0)
    files = sorted((folder / "latents" / "samples").glob("*.safetensors"))
    with safe_open(str(files[0]), "pt") as first, safe_open(str(files[1]), "pt") as second:
        assert torch.equal(first.get_tensor("truth"), second.get_tensor("truth"))
    assert sum(map(len, latents.buckets.values())) == 12 and len(latents.buckets) == 2
    assert latents[5].truth.shape == latents[5].view.shape == latents[5].upsampled.shape
    assert torch.equal(latents[5].truth, latents[5].truth)


def test_a_new_adapter_leaves_the_base_as_it_was(folder: Path) -> None:
    """Also after its branches were copied from the base."""
    new = task(folder)
    latents = Latents(folder / "latents", new.config.data, 0)
    new.initialise(latents)
    base = load_base(folder / "wan.safetensors").transformer
    assert torch.equal(new.adapter.patch.blocks[0].ffn[0].weight, base.blocks[0].ffn.net[0].proj.weight)
    batch = latents[0]
    loss = new(batch, torch.Generator().manual_seed(3), 0)[0]
    seen = []
    with new.released() as free:
        free.transformer.register_forward_pre_hook(lambda m, args: seen.append(args))
    new(batch, torch.Generator().manual_seed(3), 0)
    with torch.no_grad():
        x, time, text = seen[0]
        velocity = base(x, time, text, return_dict=False)[0]
    sigma = time[0] / 1000
    eps = (x - (1 - sigma) * batch.truth) / sigma
    torch.testing.assert_close(loss, (velocity - (eps - batch.truth)).square().mean(), rtol=1e-4, atol=1e-5)


def test_checkpointing_changes_no_gradient(folder: Path) -> None:
    latents = Latents(folder / "latents", DataConfig(batch=2), 0)
    gradients = []
    for checkpointing in (False, True):
        one = task(folder, checkpointing=checkpointing)
        one.adapter.load_state_dict({n: v + 0.01 * torch.ones_like(v) for n, v in one.adapter.state_dict().items()})
        one(latents[1], torch.Generator().manual_seed(3), 0)[0].backward()
        gradients.append({name: p.grad for name, p in one.named_parameters() if p.grad is not None})
    plain, checkpointed = gradients
    assert plain.keys() == checkpointed.keys()
    assert {"adapter.lora", "adapter.patch", "adapter.global_"} <= {".".join(n.split(".")[:2]) for n in plain}
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, msg=name)


@pytest.mark.parametrize("kind", ["identity", "star"])
def test_gates_learn_with_the_adapter(folder: Path, tmp_path: Path, kind: str) -> None:
    (folder / "gates.toml").write_text(CONFIG.replace("[adapter]", f'[adapter]\nliem = "{kind}"'))
    arguments = ["--data", folder / "latents", "--base", folder / "wan.safetensors", "--out", tmp_path]
    assert main(["train", *map(str, arguments), "--config", str(folder / "gates.toml")]) == 0
    adapter = load_adapter(tmp_path / "weights" / "adapter.safetensors")
    assert adapter.config.liem == kind
    for gate in adapter.liem:
        seen = gate.spatial.weight[..., 2:5, 2:5]  # all that crops of 2 x 2 tokens can teach
        assert seen.abs().min() > 0 and gate.temporal.weight.abs().min() > 0, "they started at zero"


def test_gates_get_gradient_through_checkpoints_and_change_nothing_at_first(folder: Path) -> None:
    latents = Latents(folder / "latents", DataConfig(batch=2), 0)
    settings = load_config(folder / "mine.toml").adapter
    plain, gated = (task(folder, adapter={**settings, "liem": kind}) for kind in ("none", "identity"))
    gated.adapter.load_state_dict(plain.adapter.state_dict(), strict=False)
    batch = latents[1]
    losses = [one(batch, torch.Generator().manual_seed(3), 0)[0] for one in (plain, gated)]
    assert torch.equal(*losses)
    losses[1].backward()
    assert all(parameter.grad.norm() > 0 for parameter in gated.adapter.liem.parameters())


def test_the_frequency_loss_joins_by_its_weight(folder: Path) -> None:
    batch = Latents(folder / "latents", DataConfig(batch=2), 0)[1]
    results = []
    for flow in (FlowObjective(), FlowObjective(frequency_weight=0.01)):
        one = task(folder, flow=flow)
        loss, terms = one(batch, torch.Generator().manual_seed(3), 0)
        loss.backward()
        results.append((loss.detach(), terms, one.adapter.patch.out[0].weight.grad))
    (plain, without, gradient), (both, terms, other) = results
    assert without["frequency"] == 0 and terms["frequency"] > 0
    torch.testing.assert_close(both, plain + terms["frequency"])
    assert not torch.allclose(gradient, other), "it has a gradient"


def test_unknown_frequency_bands_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(CONFIG.replace("[flow]", '[flow]\nfrequency_bands = "octaves"'))
    with pytest.raises(PatchVSRError, match="'octaves'; choose from radial, star_release"):
        load_config(tmp_path / "mine.toml")


def test_training_resumes_and_the_adapter_loads(folder: Path, tmp_path: Path) -> None:
    assert trained(folder, tmp_path / "whole") == 0
    assert trained(folder, tmp_path / "parts", "--minutes", 0) == 0
    assert trained(folder, tmp_path / "parts") == 0
    whole, parts = (torch.load(tmp_path / name / "state.pt")["model"] for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(value, parts[name]) for name, value in whole.items())
    assert not any("transformer" in name or "base" in name.split(".")[0] for name in whole)

    file = tmp_path / "whole" / "weights" / "adapter.safetensors"
    adapter = load_adapter(file)
    adapter.config.base.check_same(load_base(folder / "wan.safetensors").spec)
    assert torch.equal(adapter.prompt, Latents(folder / "latents", DataConfig(), 0).prompt.to(adapter.prompt))
    with safe_open(str(file), "pt") as opened:
        assert len(opened.metadata()["base_sha256"]) == 64


def test_validation_pictures_need_the_vae(folder: Path, tmp_path: Path) -> None:
    text = CONFIG.replace("steps = 3", "steps = 1\nvalidate_every = 1")
    (folder / "look.toml").write_text(text)
    paths = ["--data", folder / "latents", "--base", folder / "wan.safetensors", "--out", tmp_path]
    more = ["--validate", folder / "clips", "--vae", folder / "vae.safetensors", "--config", folder / "look.toml"]
    assert main(["train", *map(str, paths), *map(str, more)]) == 0
    assert (tmp_path / "validation" / "0000001.png").is_file()
    assert '"model"' in (tmp_path / "log.jsonl").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--data", "latents", "--out", "x"], "--base"),
        (["train", "--data", "clips", "--base", "wan.safetensors", "--out", "x"], "run precompute"),
        (["export", "--run", "clips", "--to", "x"], "no training state"),
    ],
)
def test_what_is_missing_is_said(
    folder: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main([*arguments, "--config", "mine.toml"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "millions"),
    [("wan21_1p3b", (139.3, 139.3, 141.6, 70.8)), ("wan21_14b", (50.4, 50.4, 419.6, 209.7))],
)
def test_adapters_of_real_size(name: str, millions: tuple[float, ...]) -> None:
    """Parameters of patch blocks, global blocks, keys and values, and the projections to the base."""
    config = load_config(name)
    assert config.flow == FlowObjective()
    with torch.device("meta"):
        adapter = Adapter(config.adapter_config)
    parts = ("patch.blocks", "global_.blocks", ("global_.k.", "global_.v."), "patch.out")
    found = [sum(p.numel() for n, p in adapter.named_parameters() if n.startswith(part)) / 1e6 for part in parts]
    assert found == pytest.approx(millions, abs=0.06)
    spec: BaseSpec = config.base
    assert adapter.patch.out[0].weight.shape == (spec.width, config.adapter_config.width)


def test_a_prompt_of_another_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    save_file({"prompt": torch.zeros(3, TEXT + 1)}, str(tmp_path / "p.safetensors"))
    from patchvsr_core.training.latents import precompute

    with pytest.raises(PatchVSRError, match="text encoder"):
        precompute(
            load_config(folder / "mine.toml"),
            folder / "clips",
            None,
            folder / "latents",
            range(0),
            tmp_path / "p.safetensors",
        )
