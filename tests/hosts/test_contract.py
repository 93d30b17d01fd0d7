"""Both hosts and a hand-written forward agree on the same small weights and inputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference_wan import velocity
from small_models import random_adapter, random_wan, save

from patchvsr_core.adapter import Adapter, AdapterConfig, MicroConditions, PatchControl
from patchvsr_core.errors import AdapterError, ModelError
from patchvsr_core.hosts.diffusers.denoiser import DiffusersDenoiser
from patchvsr_core.hosts.diffusers.loading import load_base

SIGMA = torch.tensor(0.6)


def inputs(channels: int = 16, patches: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(patches, channels, 3, 8, 6, generator=generator)
    return x, torch.randn(1, 5, 64, generator=generator)


def control_of(adapter: Adapter, x: torch.Tensor) -> PatchControl:
    generator = torch.Generator().manual_seed(4)
    patches, channels = x.shape[:2]
    with torch.no_grad():
        return adapter.control(
            torch.randn(x.shape, generator=generator),
            MicroConditions(
                torch.full((patches,), 4.0), torch.rand(patches), torch.rand(patches), torch.full((patches,), 0.2)
            ),
            anchor=torch.randn(x.shape, generator=generator),
            view=torch.randn(1, channels, 3, 6, 10, generator=generator),
            location=torch.rand(patches, 1, 6, 10, generator=generator),
        )


def one(control: PatchControl, index: int) -> PatchControl:
    """The control of one patch of a batch."""

    class One:
        time_delta = control.time_delta[index : index + 1]

        def residual(self, block: int) -> torch.Tensor:
            return control.residual(block)[index : index + 1]

        def global_kv(self, block: int) -> tuple[torch.Tensor, torch.Tensor]:
            k, v = control.global_kv(block)
            return k[index : index + 1], v[index : index + 1]

    return One()  # type: ignore[return-value]


def test_diffusers_host_equals_the_written_out_forward(tmp_path: Path) -> None:
    weights = random_wan()
    base = load_base(save(weights, tmp_path / "wan.safetensors"))
    adapter = random_adapter(base.spec)
    x, text = inputs()
    control = control_of(adapter, x)
    with torch.no_grad():
        denoised = DiffusersDenoiser(base, [text], adapter)(x, SIGMA, control)[0]
    for index in range(len(x)):
        v = velocity(weights, x[index : index + 1], 600.0, text, one(control, index))
        expected = x[index : index + 1].double() - 0.6 * v
        assert (denoised[index] - expected[0]).abs().max() < 1e-4
    assert (denoised - DiffusersDenoiser(base, [text])(x, SIGMA, None)[0]).abs().max() > 0.05


@pytest.mark.parametrize("kind", ["identity", "star"])
def test_local_gates_of_the_diffusers_host_equal_the_written_out_ones(tmp_path: Path, kind: str) -> None:
    weights = random_wan()
    base = load_base(save(weights, tmp_path / "wan.safetensors"))
    adapter = random_adapter(base.spec, liem=kind)
    x, text = inputs()
    control = control_of(adapter, x)
    with torch.no_grad():
        denoised = DiffusersDenoiser(base, [text], adapter)(x, SIGMA, control)[0]
    for index in range(len(x)):
        part, said = x[index : index + 1], one(control, index)
        expected = part.double() - 0.6 * velocity(weights, part, 600.0, text, said, gates=adapter)
        assert (denoised[index] - expected[0]).abs().max() < 1e-4
        ungated = part.double() - 0.6 * velocity(weights, part, 600.0, text, said)
        assert (denoised[index] - ungated[0]).abs().max() > 0.01


def test_residual_base_answers_relative_to_the_anchor(tmp_path: Path) -> None:
    weights = random_wan()
    base = load_base(save(weights, tmp_path / "base.safetensors", prediction="residual", start_noise="0.1"))
    assert (base.prediction, base.start_noise) == ("residual", 0.1)
    x, text = inputs(patches=1)
    anchor = torch.randn_like(x)
    denoised = DiffusersDenoiser(base, [text])(x, SIGMA, PatchControl(anchor))[0]
    expected = anchor.double() + velocity(weights, x, 600.0, text)
    assert (denoised - expected).abs().max() < 1e-4


def test_zero_initialised_adapter_leaves_the_base_bit_exact(tmp_path: Path) -> None:
    base = load_base(save(random_wan(), tmp_path / "wan.safetensors"))
    adapter = Adapter(AdapterConfig(base.spec, width=96, head_dim=32, ffn=128, lora_rank=4, liem="identity"))
    x, text = inputs()
    plain = DiffusersDenoiser(base, [text])
    with torch.no_grad():
        expected = plain(x, SIGMA, None)[0]
    plain.close()
    with torch.no_grad():
        adapted = DiffusersDenoiser(base, [text], adapter)(x, SIGMA, control_of(adapter, x))[0]
    assert torch.equal(adapted, expected)


def test_lora_changes_the_weights_until_closed(tmp_path: Path) -> None:
    weights = random_wan()
    base = load_base(save(weights, tmp_path / "wan.safetensors"))
    adapter = random_adapter(base.spec, lora_rank=2, lora_targets=("self_attn.q", "cross_attn.o", "ffn.0", "ffn.2"))
    x, text = inputs(patches=1)
    before = base.transformer(x, torch.tensor([600.0]), text, return_dict=False)[0]
    denoiser = DiffusersDenoiser(base, [text], adapter)
    with torch.no_grad():
        denoised = denoiser(x, SIGMA, None)[0]
    changed = dict(weights)
    for name, low_rank in adapter.lora.layers():
        changed[f"{name}.weight"] = weights[f"{name}.weight"] + low_rank.up @ low_rank.down
    expected = x.double() - 0.6 * velocity(changed, x, 600.0, text)
    assert (denoised - expected).abs().max() < 1e-4
    denoiser.close()
    assert torch.equal(base.transformer(x, torch.tensor([600.0]), text, return_dict=False)[0], before)
    assert "parametrizations" not in "".join(base.transformer.state_dict())


def test_guidance_gets_both_conditions(tmp_path: Path) -> None:
    base = load_base(save(random_wan(), tmp_path / "wan.safetensors"))
    x, text = inputs(patches=1)
    positive, negative = DiffusersDenoiser(base, [text, -text])(x, SIGMA, None)
    assert not torch.equal(positive, negative)
    assert torch.equal(DiffusersDenoiser(base, [-text])(x, SIGMA, None)[0], negative)


def test_diffusers_folders_load_too(tmp_path: Path) -> None:
    base = load_base(save(random_wan(), tmp_path / "wan.safetensors"))
    base.transformer.save_pretrained(tmp_path / "model" / "transformer", max_shard_size="1MB")
    assert len(list((tmp_path / "model" / "transformer").glob("*.safetensors"))) > 1
    again = load_base(tmp_path / "model")
    x, text = inputs(patches=1)
    a, b = (DiffusersDenoiser(m, [text])(x, SIGMA, None)[0] for m in (base, again))
    assert torch.equal(a, b)
    assert again.spec == base.spec


def test_incomplete_diffusers_folders_say_why(tmp_path: Path) -> None:
    base = load_base(save(random_wan(), tmp_path / "wan.safetensors"))
    folder = tmp_path / "model"
    with pytest.raises(ModelError, match="no diffusers folder of a WanTransformer3DModel"):
        load_base(folder.parent)
    base.transformer.save_pretrained(folder, max_shard_size="1MB")
    sorted(folder.glob("*.safetensors"))[0].unlink()
    with pytest.raises(ModelError, match="tensors are missing or unknown"):
        load_base(folder)


@pytest.mark.parametrize("config", ["", "[1]", '{"_class_name": "AutoencoderKL"}'])
def test_folders_of_something_else_are_refused_before_anything_is_built(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    save(random_wan(), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="no diffusers folder of a WanTransformer3DModel"):
        load_base(tmp_path)


def test_two_experts_must_be_told_apart(tmp_path: Path) -> None:
    for name in ("transformer", "transformer_2"):
        (tmp_path / name).mkdir()
    with pytest.raises(ModelError, match=r"two experts: name .*transformer_2"):
        load_base(tmp_path)


@pytest.mark.parametrize("whole_folder", [False, True])
def test_half_precision_keeps_time_and_norms_in_full(tmp_path: Path, whole_folder: bool) -> None:
    weights = random_wan()
    path = save(weights, tmp_path / "wan.safetensors")
    if whole_folder:
        load_base(path).transformer.save_pretrained(tmp_path / "folder")
        path = tmp_path / "folder"
    base = load_base(path, dtype=torch.bfloat16)
    dtypes = {name: parameter.dtype for name, parameter in base.transformer.named_parameters()}
    assert dtypes["scale_shift_table"] == dtypes["condition_embedder.time_embedder.linear_1.weight"] == torch.float32
    assert dtypes["blocks.0.attn1.to_q.weight"] == torch.bfloat16
    seen = []
    base.transformer.condition_embedder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x, text = inputs(patches=1)
    with torch.no_grad():
        answer = DiffusersDenoiser(base, [text])(x, torch.tensor(0.9872), None)[0]
    assert seen[0].item() == pytest.approx(987.2, abs=0.01), "timesteps are not rounded to bfloat16"
    assert (answer - (x - 0.9872 * velocity(weights, x, 987.2, text))).abs().mean() < 0.05


def test_checkpoint_prefixes_are_understood(tmp_path: Path) -> None:
    weights = {f"model.diffusion_model.{name}": tensor for name, tensor in random_wan().items()}
    assert load_base(save(weights, tmp_path / "wan.safetensors")).spec.width == 128


def test_another_base_is_refused_in_one_sentence(tmp_path: Path) -> None:
    base = load_base(save(random_wan(layers=3), tmp_path / "wan.safetensors"))
    adapter = random_adapter(load_base(save(random_wan(), tmp_path / "other.safetensors")).spec)
    with pytest.raises(AdapterError, match="2 transformer blocks, but the connected model has 3"):
        DiffusersDenoiser(base, [torch.zeros(1, 5, 64)], adapter)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "no model file"),
        (lambda path: path.write_bytes(b"x" * 100), "no readable safetensors"),
        (lambda path: save({"a": torch.zeros(1)}, path), "no Wan video model"),
        (lambda path: save({k: v for k, v in random_wan().items() if ".1.ffn.0" not in k}, path), "does not load"),
        (lambda path: save({k: v for k, v in random_wan().items() if "blocks" not in k}, path), "no Wan video model"),
        (lambda path: save({**random_wan(), "img_emb.proj.0.weight": torch.zeros(1)}, path), "image-to-video"),
    ],
)
def test_unusable_bases_say_why(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "wan.safetensors"
    make(path)
    with pytest.raises(ModelError, match=words):
        load_base(path)
