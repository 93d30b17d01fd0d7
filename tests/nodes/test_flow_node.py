"""Optical Flow: motion of a clip, measured or rendered, as a socket, a picture and a mask."""

import pytest
import torch
from fakes import run_node
from torch import nn

SIZE = (40, 56)


@pytest.fixture(scope="module")
def node(pack):
    return pack.part("nodes.flow").OpticalFlow


@pytest.fixture(scope="module")
def clip():
    """Four frames that go right by 3 and down by 2 each time."""
    coarse = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(5))
    frame = nn.functional.interpolate(coarse, size=SIZE, mode="bicubic").clamp(0, 1)[0].movedim(0, -1)
    return torch.stack([frame.roll((2 * k, 3 * k), (0, 1)) for k in range(4)])


class Raft(nn.Module):
    """What torchvision's RAFT looks like from outside; sees the same motion everywhere."""

    def __init__(self):
        super().__init__()
        self.feature_encoder, self.update_block = nn.Linear(1, 1), nn.Identity()

    def forward(self, image1, image2, num_flow_updates=12):
        return [image1.new_tensor([k, 0.5])[None, :, None, None].expand_as(image1[:, :2]) for k in range(8)]


def native(model):
    """What an OPTICAL_FLOW socket carries."""
    from comfy import model_management
    from comfy.model_patcher import ModelPatcher

    return ModelPatcher(model, model_management.get_torch_device(), model_management.unet_offload_device())


@pytest.mark.parametrize("method", ["dis", "farneback", "pyramid"])
def test_motion_is_measured_both_ways(node, clip, method):
    before = clip.clone()
    flow, preview, mask = run_node(node, image=clip, method=method)
    assert flow.frames == 4 and flow.size == SIZE
    inner = (slice(None), slice(None), slice(12, -12), slice(12, -12))
    assert flow.to_next[inner].mean((0, 2, 3)).tolist() == pytest.approx([3, 2], abs=0.2)
    assert flow.to_previous[inner].mean((0, 2, 3)).tolist() == pytest.approx([-3, -2], abs=0.2)
    assert preview.shape == (3, *SIZE, 3) and preview.min() >= 0 and preview.max() <= 1
    middle = preview[:, 12:-12, 12:-12].mean((0, 1, 2))
    assert middle[0] > middle[1] > middle[2], "between red and yellow"
    assert mask.shape == (3, *SIZE) and set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask[:, 12:-12, 12:-12].mean() > 0.95
    assert torch.equal(clip, before)


def test_dis_in_its_best_quality_unless_told_otherwise(pack, node, clip):
    from patchvsr_core.optical_flow.estimators import QUALITIES, dis
    from patchvsr_core.optical_flow.flow import estimate_clip_flows

    planes = clip.movedim(-1, 1)
    assert torch.equal(run_node(node, image=clip)[0].to_next, estimate_clip_flows(planes).to_next)
    for quality in QUALITIES:
        flow = run_node(node, image=clip, quality=quality)[0]
        assert torch.equal(flow.to_next, estimate_clip_flows(planes, dis(quality)).to_next)


def test_transparency_is_not_looked_at(node, clip):
    with_alpha = torch.cat([clip, torch.rand(*clip.shape[:3], 1)], -1)
    assert torch.equal(run_node(node, image=with_alpha)[0].to_next, run_node(node, image=clip)[0].to_next)


def test_the_pyramid_works_on_comfyuis_device(node, clip, monkeypatch):
    import comfy.model_management as management

    monkeypatch.setattr(management, "get_torch_device", lambda: torch.device("nowhere"))
    run_node(node, image=clip, method="dis")
    with pytest.raises(RuntimeError, match="nowhere"):
        run_node(node, image=clip, method="pyramid")


def test_raft_is_the_connected_network_loaded_with_room_for_its_correlations(node, clip, monkeypatch):
    import comfy.model_management as management

    loaded = []
    monkeypatch.setattr(management, "load_models_gpu", lambda models, **memory: loaded.append((models, memory)))
    network = native(Raft())
    flow, *_ = run_node(node, image=clip, method="raft", optical_flow=network)
    assert flow.to_next.amin((0, 2, 3)).tolist() == flow.to_next.amax((0, 2, 3)).tolist() == [7.0, 0.5]
    run_node(node, image=torch.rand(2, 80, 112, 3), method="raft", optical_flow=network)
    (models, small), (_, large) = loaded
    assert models == [network] and 4 < large["memory_required"] / small["memory_required"] < 16


def test_other_methods_leave_the_network_alone(node, clip, monkeypatch):
    import comfy.model_management as management

    monkeypatch.setattr(management, "load_models_gpu", lambda *models, **memory: pytest.fail("loaded"))
    with_network = run_node(node, image=clip, optical_flow=native(Raft()))[0]
    assert torch.equal(with_network.to_next, run_node(node, image=clip)[0].to_next)


def test_vectors_of_a_render_take_the_place_of_measuring(node, clip, monkeypatch):
    """At half the size of the clip; they say something else than the picture."""
    monkeypatch.setattr("cv2.DISOpticalFlow.create", lambda preset: pytest.fail("measured"))
    vectors = torch.tensor([-2.0, 1.0, -2.0, 1.0]).expand(4, SIZE[0] // 2, SIZE[1] // 2, 4)
    flow, preview, mask = run_node(node, image=clip, motion=vectors)
    assert flow.to_next[1, :, 20, 20].tolist() == [4.0, 2.0] and flow.to_previous[1, :, 20, 20].tolist() == [-4.0, -2.0]
    assert preview.shape == (3, *SIZE, 3) and mask[:, :-2, :-4].all() and not mask[:, -2:].any()
    back_alone, *_ = run_node(node, image=clip, motion=vectors[..., :3])
    assert back_alone.to_next[1, :, 20, 20].tolist() == [4.0, 2.0]


def test_what_the_user_reads(pack, node, clip):
    errors = pack.part("patchvsr_core.errors")
    wrong = [
        ({"image": clip[:1]}, errors.MediaError, "at least 2 frames"),
        ({"image": clip, "motion": torch.zeros(3, *SIZE, 4)}, errors.MediaError, "3 frames of motion for 4"),
        ({"image": clip, "method": "raft"}, errors.ModelError, "connect Load Optical Flow Model"),
        ({"image": clip, "method": "raft", "optical_flow": native(nn.Linear(1, 1))}, errors.ModelError, "a Linear, "),
    ]
    for inputs, kind, words in wrong:
        with pytest.raises(kind, match=words) as raised:
            run_node(node, **inputs)
        assert str(raised.value).endswith(".")


def test_measuring_can_be_cancelled(node, clip):
    import comfy.model_management as management

    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        run_node(node, image=clip)


def test_every_input_explains_itself_and_costs_are_told(node):
    sockets = {socket.id: socket for socket in node.GET_SCHEMA().inputs}
    assert all(socket.tooltip.endswith(".") for socket in sockets.values())
    for method in sockets["method"].options["options"]:
        assert f"{method} (" in sockets["method"].tooltip
    assert sockets["quality"].options["advanced"] and sockets["optical_flow"].io_type == "OPTICAL_FLOW"
    assert [socket.io_type for socket in node.GET_SCHEMA().outputs] == ["PATCHVSR_FLOW", "IMAGE", "MASK"]
