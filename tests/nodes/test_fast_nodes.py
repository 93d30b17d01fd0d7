"""DAP Upscale and RDG Upscale, on the stand-in."""

import pytest
import torch
from fakes import run_node
from small_models import random_dap, random_rdg
from torch import nn

from patchvsr_core.devices import network_dtype
from patchvsr_core.optical_flow.flow import ClipFlows
from patchvsr_core.realtime.dap import save_dap
from patchvsr_core.realtime.gbuffers import RenderPasses
from patchvsr_core.realtime.rdg import save_rdg
from patchvsr_core.realtime.upscaler import load_fast
from patchvsr_core.resample import resize

SIZE = (18, 22)
OTHER = (12, 20)
KINDS = ["DAP", "RDG"]
DTYPE = network_dtype(torch.device("cpu"))
"""Bfloat16 where this CPU computes in it."""


@pytest.fixture(scope="module")
def nodes(pack):
    return pack.part("nodes.fast")


@pytest.fixture
def networks(nodes, tmp_path):
    """The folder of files, with one of each kind."""
    nodes.folder_paths.folders["model_patches"] = tmp_path
    save_dap(random_dap(), tmp_path / "DAP.safetensors")
    save_rdg(random_rdg(), tmp_path / "RDG.safetensors")
    yield tmp_path
    del nodes.folder_paths.folders["model_patches"]


@pytest.fixture(scope="module")
def clip():
    """Two shots, of 3 and 2 frames."""
    coarse = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(3))
    first, second = nn.functional.interpolate(coarse, size=SIZE, mode="bicubic").clamp(0, 1).movedim(1, -1)
    return torch.stack([first, first.roll(2, 1), first.roll(4, 1), second**4, second.roll(1, 0) ** 4])


def upscaled(pack, kind, **inputs):
    return run_node(pack[f"{kind}Upscale"], weights=f"{kind}.safetensors", **inputs)[0]


def sockets(pack, kind):
    return {socket.id: socket for socket in pack[f"{kind}Upscale"].GET_SCHEMA().inputs}


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_of_the_file_upscales(pack, networks, clip, kind):
    before = clip.clone()
    upscaler = load_fast(networks / f"{kind}.safetensors", dtype=DTYPE)
    expected = upscaler.upscale(clip[:3])
    assert torch.equal(upscaled(pack, kind, image=clip[:3]), expected)
    half = upscaled(pack, kind, image=clip[:3], scale=2.0)
    assert torch.equal(half, upscaler.upscale(clip[:3], (36, 44)))
    assert torch.equal(upscaled(pack, kind, image=clip[:3], size="44x0"), half)
    assert torch.equal(clip, before)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_crosses_a_cut_unless_wanted(pack, networks, clip, kind):
    upscaler = load_fast(networks / f"{kind}.safetensors", dtype=DTYPE)
    made = upscaled(pack, kind, image=clip)
    assert torch.equal(made, upscaler.upscale(clip, cuts=(3,)))
    through = upscaled(pack, kind, image=clip, find_cuts=False)
    assert torch.equal(through, upscaler.upscale(clip)) and not torch.equal(made, through)


@pytest.mark.parametrize("kind", KINDS)
def test_transparency_is_enlarged_beside_the_network(pack, networks, clip, kind):
    matte = torch.zeros(3, *SIZE, 1)
    matte[:, 6:12, 6:12] = 1
    made = upscaled(pack, kind, image=torch.cat([clip[:3], matte], -1))
    assert torch.equal(made[..., :3], upscaled(pack, kind, image=clip[:3]))
    assert (made[..., 3:] - resize(matte, (72, 88))).abs().mean() < 0.02


def test_what_the_renderer_knows_reaches_the_network(pack, networks, clip):
    """Passes of another size are brought to the clip's; pictures become what they stand for."""
    passes = {name: torch.rand(3, *OTHER, 3) for name in ("depth", "normal", "albedo")}
    flow = ClipFlows(torch.randn(2, 2, *OTHER), torch.randn(2, 2, *OTHER))
    at_size = {name: resize(values, SIZE) for name, values in passes.items()}
    depth, normal = at_size["depth"].mean(-1), 2 * at_size["normal"] - 1
    known = RenderPasses(flow.resize(SIZE), depth, normal, at_size["albedo"])
    expected = load_fast(networks / "RDG.safetensors", dtype=DTYPE).upscale(clip[:3], None, known)
    made = upscaled(pack, "RDG", image=clip[:3], flow=flow, **passes)
    torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)
    plain = upscaled(pack, "RDG", image=clip[:3])
    for name, value in {**passes, "flow": flow}.items():
        alone = upscaled(pack, "RDG", image=clip[:3], **{name: value})
        assert (alone - plain).abs().max() > 1e-4, name
    near = upscaled(pack, "RDG", image=clip[:3], depth=1 - passes["depth"], depth_is_nearness=True)
    torch.testing.assert_close(near, upscaled(pack, "RDG", image=clip[:3], depth=passes["depth"]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_network_is_the_first_choice(pack, clip, kind):
    assert sockets(pack, kind)["weights"].options["options"][0] == "small (shipped)"
    (made,) = run_node(pack[f"{kind}Upscale"], image=clip, weights="small (shipped)")
    assert made.shape == (5, 72, 88, 3)


def test_a_file_that_changed_is_read_again(pack, networks, clip):
    before = upscaled(pack, "DAP", image=clip[:1])
    save_dap(random_dap(seed=1), networks / "DAP.safetensors")
    assert not torch.equal(upscaled(pack, "DAP", image=clip[:1]), before)


def test_what_the_user_reads(pack, networks, clip):
    errors = pack.part("patchvsr_core.errors")
    wrong = [
        ("DAP", {"weights": "RDG.safetensors"}, errors.ModelError, "a network of RDG Upscale; use that node"),
        ("RDG", {"weights": "DAP.safetensors"}, errors.ModelError, "a network of DAP Upscale; use that node"),
        ("DAP", {"weights": "DAP.safetensors", "size": "8x8"}, errors.PlanError, "is smaller than the input"),
        ("RDG", {"weights": "RDG.safetensors", "depth": clip[:2]}, errors.MediaError, "Depth has 2 frames"),
        (
            "RDG",
            {"weights": "RDG.safetensors", "flow": ClipFlows(*torch.zeros(2, 3, 2, *SIZE))},
            errors.MediaError,
            "motion has 4 frames",
        ),
    ]
    for kind, inputs, error, words in wrong:
        with pytest.raises(error, match=words) as raised:
            run_node(pack[f"{kind}Upscale"], image=clip, **inputs)
        assert str(raised.value).endswith(".")


@pytest.mark.parametrize("kind", KINDS)
def test_comfyui_makes_room_chooses_the_precision_and_can_cancel(pack, networks, clip, kind, monkeypatch):
    import comfy.model_management as management

    loaded = []
    monkeypatch.setattr(management, "load_models_gpu", lambda models, **memory: loaded.append((models, memory)))
    upscaled(pack, kind, image=clip[:1])
    upscaled(pack, kind, image=torch.rand(1, 36, 44, 3))
    ((network,), small), (same, large) = loaded
    assert same == [network] and network.model_dtype() == DTYPE
    assert large["memory_required"] == 4 * small["memory_required"]
    monkeypatch.setattr(management, "should_use_fp16", lambda device: True)
    half = upscaled(pack, kind, image=clip[:3])
    assert loaded[-1][0][0].model_dtype() == torch.float16 and half.dtype == torch.float32
    monkeypatch.undo()
    assert 0 < (half - upscaled(pack, kind, image=clip[:3])).abs().max() < 0.05
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        upscaled(pack, kind, image=clip)


def test_every_input_explains_itself(pack):
    for kind in KINDS:
        assert all(socket.tooltip.endswith(".") for socket in sockets(pack, kind).values())
    missing = sockets(pack, "RDG")
    assert all("Without it" in missing[name].tooltip for name in ("flow", "depth", "normal", "albedo"))
