"""NaN and Inf in native objects end a run in one sentence."""

import pytest
import torch
from fakes.chain import a_clip, run_chain


@pytest.fixture(params=[float("nan"), float("inf")], ids=str)
def spoil(request):
    """Plant the value in a network for a test's time."""
    changed = []

    def plant(parameter):
        changed.append((parameter, parameter.detach().clone()))
        parameter.data.fill_(request.param)

    yield plant
    for parameter, before in changed:
        parameter.data.copy_(before)


@pytest.mark.parametrize("part", ["model", "adapter"])
def test_the_sampler_names_base_and_adapter(pack, tiny, spoil, part):
    network = tiny.model.model.diffusion_model.patch_embedding if part == "model" else tiny.adapter.model.patch.out[0]
    spoil(network.weight)
    with pytest.raises(pack.part("patchvsr_core.errors").ModelError, match=r"base model with its adapter .*NaN or Inf"):
        run_chain(pack, tiny, a_clip())


def test_the_refiner_is_named(pack, spoil):
    host = pack.part("patchvsr_core.hosts.comfy")
    spoil(host.shipped_refiner().tail.weight)
    with pytest.raises(
        pack.part("patchvsr_core.errors").ModelError, match=r"\(tiny_refiner.safetensors\) returned NaN"
    ):
        host.refiner.run_refiner(torch.rand(1, 32, 32, 3), torch.rand(1, 16, 16, 3), 1.0, 0.0, 0.0)
