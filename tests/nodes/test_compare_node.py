"""Compare in a graph."""

import torch
from fakes import run_node

from patchvsr_core.preview.compare import CAPTION_PX, GAP_PX, LINE_PX


def test_it_answers_a_split_view_and_a_grid_of_crops(pack):
    before, after = torch.full((3, 20, 30, 3), 0.25), torch.full((3, 80, 120, 4), 0.75)
    split, crops = run_node(pack["Compare"], before=before, after=after, crop_px=32, crops=2, names="")
    assert split.shape == (3, 80, 120, 3) and crops.shape == (3, 2 * 32 + GAP_PX, 2 * 32 + GAP_PX, 3)
    assert (split[:, :, :60] - 0.25).abs().max() < 1e-6 and (split[:, :, 60 + LINE_PX :] == 0.75).all()


def test_a_third_clip_and_names(pack):
    clips = {name: torch.full((1, 160, 600, 3), value) for name, value in (("before", 0.1), ("after", 0.5))}
    third = torch.full((1, 160, 600, 3), 0.9)
    split, crops = run_node(
        pack["Compare"], **clips, third=third, names="input, tiny", position=1 / 3, crop_px=64, crops=1
    )
    assert split[0, 150, [100, 300, 500], 0].tolist() == torch.tensor([0.1, 0.5, 0.9]).tolist()
    assert crops.shape == (1, 64 + CAPTION_PX, 3 * 64 + 2 * GAP_PX, 3)
    assert (split[:, :CAPTION_PX, 200:240] == 1).any() and not (split[:, :CAPTION_PX, 402:] == 1).any()
