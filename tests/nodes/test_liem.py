"""Local gates of an adapter on the native model."""

import pytest
import torch
from fakes import run_node
from fakes.chain import sample


@pytest.fixture(scope="module")
def files(pack, tmp_path_factory):
    """The shipped adapter with gates: untrained ones, and ones that do something."""
    adapters, folder = pack.part("patchvsr_core.adapter"), tmp_path_factory.mktemp("gates")
    shipped = adapters.load_adapter(pack.part("patchvsr_core.weights").shipped("tiny_adapter.safetensors"))
    config = {**vars(shipped.config), "liem": "identity"}
    gated = adapters.Adapter(adapters.AdapterConfig(**config)).requires_grad_(False)
    gated.load_state_dict(shipped.state_dict(), strict=False)
    adapters.save_adapter(gated, folder / "untrained.safetensors")
    for parameter in gated.liem.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    adapters.save_adapter(gated, folder / "trained.safetensors")
    return folder


@pytest.fixture
def load(pack, files, monkeypatch):
    import folder_paths

    monkeypatch.setitem(folder_paths.folders, "model_patches", files)
    return lambda name, **widgets: run_node(pack["LoadAdapter"], adapter_name=f"{name}.safetensors", **widgets)[0]


def applied(pack, tiny, chain, adapter, model=None):
    inputs = {"plan": chain.plan, "patch_cond": chain.cond, "adapter": adapter, "global_context": chain.view}
    (model,) = run_node(pack["ApplyPatchVSR"], model=model or tiny.model, **inputs)
    return run_node(pack["JointModulationMerger"], model=model, plan=chain.plan, patches_at_once=1)[0]


def result(pack, tiny, chain, adapter, model=None):
    model = applied(pack, tiny, chain, adapter, model)
    return sample(pack, model, tiny.prompt, chain.start, chain.plan)


def gated_layers(model):
    return [name for name in model.object_patches if name.endswith("self_attn.forward")]


def test_untrained_gates_change_no_bit(pack, tiny, chain, load):
    adapter = load("untrained")
    assert len(gated_layers(applied(pack, tiny, chain, adapter))) == 6
    assert torch.equal(result(pack, tiny, chain, adapter), chain.sampled["samples"])


def test_the_strength_is_a_matter_of_degree(pack, tiny, chain, load):
    plain = chain.sampled["samples"]
    whole, half = (result(pack, tiny, chain, load("trained", **w)) for w in ({}, {"liem": 0.5}))
    far, near = ((out - plain).abs().mean() for out in (whole, half))
    assert 0 < near < far
    assert torch.equal(result(pack, tiny, chain, load("trained", liem=0.0)), plain)


def test_nothing_is_installed_that_does_nothing(pack, tiny, chain, load):
    assert gated_layers(chain.merged) == []
    assert gated_layers(applied(pack, tiny, chain, load("trained", liem=0.0))) == []


def test_clones_of_an_adapter_keep_its_strength(pack, tiny, chain, load):
    adapter = load("trained", liem=0.5)
    again = result(pack, tiny, chain, adapter.clone())
    assert torch.equal(again, result(pack, tiny, chain, adapter))
    assert not torch.equal(again, result(pack, tiny, chain, load("trained")))


def test_what_other_nodes_put_in_place_of_a_self_attention_stays(pack, tiny, chain, load):
    name, seen = "diffusion_model.blocks.2.self_attn.forward", []
    other = tiny.model.clone()
    original = other.get_model_object(name)

    def doubled(x, freqs, transformer_options):
        seen.append(x)
        return 2 * original(x, freqs, transformer_options)

    other.add_object_patch(name, doubled)
    alone = result(pack, tiny, chain, load("untrained"), other)
    calls = len(seen)
    assert calls == len(chain.plan.patches)
    assert not torch.equal(alone, chain.sampled["samples"]), "what the other node changed counts"
    both = result(pack, tiny, chain, load("trained"), other)
    assert len(seen) == 2 * calls and not torch.equal(seen[0], seen[calls]), "and it sees the gated tokens"
    assert not torch.equal(alone, both)
    assert other.object_patches == {name: doubled}


def test_the_base_gets_its_attention_back(pack, tiny, chain, load):
    result(pack, tiny, chain, load("trained"))
    for block in tiny.model.model.diffusion_model.blocks:
        assert block.self_attn.forward.__self__ is block.self_attn
