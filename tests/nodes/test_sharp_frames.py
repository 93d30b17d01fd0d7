"""Refiners on frames that are sharp already: the node says what would become of them."""

import pytest
import torch
from fakes import run_node

from patchvsr_core.resample import resize

SOURCE = torch.rand(3, 16, 24, 3, generator=torch.Generator().manual_seed(1))
SOFT = resize(SOURCE, (64, 96)).clamp(0, 1)
SHARP = SOURCE.repeat_interleave(4, 1).repeat_interleave(4, 2)


NODES = {
    "RefineFidelity": ("image", "refine_strength", {}),
    "ConditionalRefiner": ("decoded", "strength", {"refiner": "tiny (shipped)"}),
}


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize(("frames", "value", "says_so"), [(SHARP, 0.5, True), (SHARP, 0.0, False), (SOFT, 1.0, False)])
def test_it_says_that_they_would_get_halos(pack, caplog, name, frames, value, says_so):
    socket, strength, others = NODES[name]
    run_node(pack[name], **{socket: frames, "source": SOURCE, strength: value}, **others)
    assert ("sharp already" in caplog.text) == says_so


def test_the_node_shows_it(pack):
    node = pack["RefineFidelity"]
    chosen = {"refine_strength": 1.0, "rounds": 0, "fidelity": 1.0, "detail": 0.0, "cleanup": 0.0}
    shown = [node.execute(image=frames, source=SOURCE, **chosen).ui for frames in (SHARP, SOFT)]
    assert "set its strength to 0" in shown[0].as_dict()["text"][0] and shown[1] is None
