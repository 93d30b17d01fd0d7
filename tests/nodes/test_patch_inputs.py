"""What a patch is given of what ComfyUI gives the model for the whole canvas."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fakes.pack import Pack

from patchvsr_core.plan.canvas import Canvas, Patch

CANVAS = (5, 8, 12)


class Cond:
    """As ComfyUI's own."""

    def __init__(self, cond: Any) -> None:
        self.cond = cond

    def _copy_with(self, cond: Any) -> Cond:
        return Cond(cond)


def a_patch(t: int, y: int, x: int, frames: int = 2) -> Patch:
    return Patch((t, y, x), (frames, 4, 6), "primary", torch.ones(frames), torch.ones(4, 6))


def inputs(pack: Pack, *, images: bool = False, base: Any = None, cut_control: Any = None) -> Any:
    part = pack.part("patchvsr_core.hosts.comfy.patch_inputs")
    return part.PatchInputs(CANVAS, images, base, cut_control)


def cut(inputs: Any, patches: list[Patch], **model_conds: Any) -> dict[str, torch.Tensor]:
    conds = [[{"model_conds": {name: Cond(value) for name, value in model_conds.items()}}], None]
    group, nothing = inputs.cut(conds, patches)
    assert nothing is None, "no prompt stays no prompt"
    return {name: cond.cond for name, cond in group[0]["model_conds"].items()}


def numbered(*shape: int) -> torch.Tensor:
    return torch.arange(torch.Size(shape).numel()).float().reshape(shape)


def test_what_has_the_size_of_the_canvas_is_cut_in_space_and_time(pack):
    video, poses, rays = numbered(1, 3, *CANVAS), numbered(1, 2, 3, *CANVAS), numbered(1, 3, 5, 64, 96)
    made = cut(inputs(pack), [a_patch(1, 2, 3), a_patch(3, 4, 6)], video=video, poses=poses, rays=rays)
    assert torch.equal(made["video"][0], video[0, :, 1:3, 2:6, 3:9])
    assert torch.equal(made["video"][1], video[0, :, 3:5, 4:8, 6:12])
    assert torch.equal(made["poses"][1], poses[0, :, :, 3:5, 4:8, 6:12])
    assert torch.equal(made["rays"][0], rays[0, :, 1:3, 16:48, 24:72]), "at pixel size"


def test_a_reference_of_fewer_frames_is_cut_in_space_alone(pack):
    """Five channels are no five frames."""
    still, short = numbered(1, 5, 8, 12), numbered(1, 16, 1, 8, 12)
    made = cut(inputs(pack), [a_patch(1, 2, 3)], still=still, short=short, several=[still, numbered(1, 5, 9, 9)])
    assert torch.equal(made["still"], still[..., 2:6, 3:9])
    assert torch.equal(made["short"], short[..., 2:6, 3:9])
    assert torch.equal(made["several"][0], still[..., 2:6, 3:9]) and made["several"][1].shape == (1, 5, 9, 9)


def test_a_prompt_is_the_same_everywhere_even_if_its_sizes_are_those_of_the_canvas(pack):
    text, shift, number = numbered(1, 8, 12), numbered(1), 25
    made = cut(inputs(pack), [a_patch(0, 0, 0), a_patch(1, 2, 3)], text=text, shift=shift, number=number)
    assert torch.equal(made["text"], text) and torch.equal(made["shift"], shift) and made["number"] == 25


def test_frames_that_are_a_batch_of_images_keep_their_own_prompts_and_pictures(pack):
    one, each, prompts = numbered(1, 3, 8, 12), numbered(5, 3, 8, 12), numbered(5, 7, 2)
    patches = [a_patch(1, 2, 3), a_patch(3, 4, 6)]
    made = cut(inputs(pack, images=True), patches, one=one, each=each, prompts=prompts)
    assert torch.equal(made["each"], torch.cat([each[1:3, :, 2:6, 3:9], each[3:5, :, 4:8, 6:12]]))
    assert torch.equal(made["one"], torch.cat([one[..., 2:6, 3:9]] * 2 + [one[..., 4:8, 6:12]] * 2))
    assert torch.equal(made["prompts"], prompts[1:])


def test_a_model_is_asked_about_the_time_of_what_has_another_size(pack):
    def resize(key: str, cond: Cond, window: Any, x: torch.Tensor, device: Any) -> Any:
        assert x.shape[2:] == CANVAS and window.total_frames == 5
        return cond._copy_with(cond.cond[:, window.index_list]) if key == "sound" else None

    base = SimpleNamespace(resize_cond_for_context_window=resize)
    sound = numbered(1, 5, 2)
    made = cut(inputs(pack, base=base), [a_patch(1, 0, 0), a_patch(3, 0, 0)], sound=sound, text=numbered(1, 5, 2))
    assert torch.equal(made["sound"], torch.cat([sound[:, 1:3], sound[:, 3:5]])) and len(made["text"]) == 1


@pytest.mark.parametrize(
    ("area", "expected"),
    [
        ((8, 12, 0, 0), (2, 4, 6, 0, 0, 0)),
        ((3, 4, 1, 2), (2, 2, 3, 0, 0, 0)),
        ((3, 4, 5, 8), (2, 1, 1, 0, 3, 5)),
        ((2, 8, 12, 2, 0, 0), (1, 4, 6, 1, 0, 0)),
    ],
)
def test_an_area_becomes_its_part_within_the_patch(pack, area, expected):
    cond = {"model_conds": {}, "area": area}
    ((made,),) = inputs(pack).cut([[cond]], [a_patch(1, 2, 3)])
    assert made["area"] == expected


def test_a_prompt_whose_area_is_elsewhere_is_left_out(pack):
    part = pack.part("patchvsr_core.hosts.comfy.patch_inputs")
    conds = [[{"model_conds": {}, "area": (2, 2, 0, 0)}, {"model_conds": {}}], None]
    assert part.has_areas(conds) and not part.has_areas([[{"model_conds": {}}]])
    assert len(inputs(pack).cut(conds, [a_patch(1, 4, 6)])[0]) == 1


def test_a_mask_is_cut_with_the_patch(pack):
    mask = numbered(1, 5, 8, 12)
    ((made,),) = inputs(pack).cut([[{"model_conds": {}, "mask": mask}]], [a_patch(1, 2, 3)])
    assert torch.equal(made["mask"], mask[:, 1:3, 2:6, 3:9])


def test_what_cannot_be_cut_says_so(pack):
    nets = pack.part("patchvsr_core.hosts.comfy.control_nets")
    cutter = nets.ControlNetCutter(Canvas(5, (16, 24), (64, 96)), images=False)
    for name, value in (("gligen", ("position", None, [])), ("control", SimpleNamespace(cond_hint_original=None))):
        cond = {"model_conds": {}, name: value}
        with pytest.raises(pack.part("patchvsr_core.errors").PlanError, match="cannot be cut into patches"):
            inputs(pack, cut_control=cutter).cut([[cond]], [a_patch(0, 0, 0)])


def test_a_hint_lies_on_the_frame_and_not_on_its_padding(pack):
    """1080 rows of a frame are padded to 1088; row 1000 of the hint belongs to row 1000."""
    nets = pack.part("patchvsr_core.hosts.comfy.control_nets")

    class Net:
        __module__ = nets.KNOWN
        global_average_pooling, compression_ratio, vae, upscale_algorithm = False, 8, None, "bilinear"
        extra_concat_orig: list[torch.Tensor] = []
        previous_controlnet = None

    canvas = Canvas(1, (270, 10), (1080, 40))
    net: Any = Net()
    net.cond_hint_original = torch.arange(1080.0).view(1, 1, 1080, 1).expand(-1, 3, -1, 40)
    height, width = canvas.latent_size
    patch = Patch((0, 0, 0), (1, height, width), "primary", torch.ones(1), torch.ones(height, width))
    made = nets.ControlNetCutter(canvas, images=False)(net, [patch]).cond_hint_original
    assert made.shape == (1, 3, 1088, 48)
    assert torch.equal(made[0, 0, :1080, 0], torch.arange(1080.0)) and (made[..., 1080:, :] == 1079).all()


def test_sound_packed_with_video_is_no_canvas(pack):
    layout = pack.part("patchvsr_core.hosts.comfy.layout")
    with pytest.raises(pack.part("patchvsr_core.errors").PlanError, match="packed with sound"):
        layout.as_canvas(torch.zeros(1, 1, 400))


def test_frames_go_into_a_batch_and_back(pack):
    layout = pack.part("patchvsr_core.hosts.comfy.layout")
    images = numbered(5, 4, 8, 12)
    canvas = layout.as_canvas(images)
    assert canvas.shape == (1, 4, *CANVAS) and torch.equal(layout.as_batch(canvas, images=True), images)
    patches = torch.cat([canvas[:, :, 1:3], canvas[:, :, 2:4]])
    rows = layout.as_batch(patches, images=True)
    assert torch.equal(rows, images[[1, 2, 2, 3]])
    assert torch.equal(layout.from_batch(rows, 2, images=True), patches)
