"""The real-time networks in every precision and layout, compiled, and replayed as graphs."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from patchvsr_core.realtime.cuda_graphs import GraphedStep, copy_tree, tree_leaves, tree_map
from patchvsr_core.realtime.dap import DAP, DAPConfig
from patchvsr_core.realtime.optimize import optimize_step, prepare
from patchvsr_core.realtime.rdg import RDG
from patchvsr_core.realtime.rdg_blocks import BUFFERS

KINDS = ["dap", "rdg"]
MOTION_PX = 12


def a_network(kind: str, **options: Any) -> DAP | RDG:
    """One that remembers, and finds what it remembers elsewhere."""
    torch.manual_seed(0)
    if kind == "rdg":
        network: DAP | RDG = RDG(8)
    else:
        network = DAP(DAPConfig(channels=8, features=8, keys=8, levels=3, points=2, blocks=1))
        for offsets in network.offsets:
            nn.init.normal_(offsets[-1].bias, std=MOTION_PX / 4)
    return prepare(network, device="cpu", **options)


def inputs_of(kind: str, frames: int = 4, size: tuple[int, int] = (18, 22)) -> list[Any]:
    """Of every step."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(frames, 1, 3, *size, generator=generator)
    if kind == "dap":
        return list(images)
    buffers = {name: torch.rand(frames, 1, count, *size, generator=generator) for name, count in BUFFERS.items()}
    buffers["Motion"] = (buffers["Motion"] - 0.5) * 2 * MOTION_PX
    return [{"Image": images[i], **{name: values[i] for name, values in buffers.items()}} for i in range(frames)]


@torch.inference_mode()
def streamed(step: Callable[[Any, Any], tuple[Tensor, Any]], inputs: list[Any]) -> Tensor:
    state, results = None, []
    for values in inputs:
        result, state = step(values, state)
        results.append(result)
    return torch.stack(results)


@pytest.mark.parametrize("kind", KINDS)
def test_layouts_give_the_same_and_are_kept(kind: str) -> None:
    network, inputs = a_network(kind), inputs_of(kind, size=(16, 20))
    plain = streamed(a_network(kind, channels_last=False).step, inputs)
    torch.testing.assert_close(streamed(network.step, inputs), plain, atol=1e-5, rtol=0)
    frame, state = network.step(inputs[0], None)
    frame, state = network.step(inputs[1], state)
    for tensor in (frame, *tree_leaves(state)):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "decibels"), [(torch.float16, 60), (torch.bfloat16, 42)])
def test_half_precision_is_near_single_also_in_wide_frames(kind: str, dtype: torch.dtype, decibels: float) -> None:
    """2304 pixels wide; frames and buffers stay float32 and so do results."""
    inputs = inputs_of(kind, frames=3, size=(8, 2304))
    whole, half = (streamed(a_network(kind, dtype=precision).step, inputs) for precision in (torch.float32, dtype))
    assert half.dtype == torch.float32
    error = (half - whole).square().mean((1, 2, 3, 4))
    assert (-10 * error.log10()).min() > decibels


def test_sums_over_a_large_frame_stay_in_range() -> None:
    """Features that are small by themselves, but whose squares sum to more than half precision counts."""
    inputs = inputs_of("rdg", frames=2, size=(96, 128))
    networks = [a_network("rdg", dtype=dtype) for dtype in (torch.float32, torch.float16)]
    for network in networks:
        for module in network.modules():
            if hasattr(module, "to_q"):
                module.to_q[1].bias.fill_(8.0)
                module.to_kv[1].bias.fill_(8.0)
    whole, half = (streamed(network.step, inputs) for network in networks)
    assert torch.finfo(torch.float16).max < 96 * 128 * 8.0**2
    assert -10 * (half - whole).square().mean().log10() > 45


@pytest.mark.parametrize("kind", KINDS)
def test_steps_never_wait_for_a_value(kind: str) -> None:
    """On tensors without values, reading one is an error."""
    network = a_network(kind).to("meta")
    empty = tree_map(lambda tensor: tensor.to("meta"), inputs_of(kind, 1)[0])
    _, state = network.step(empty, None)
    frame, _ = network.step(empty, state)
    assert frame.shape == (1, 3, 72, 88)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_one_graph_each(kind: str) -> None:
    """Without and with something to remember."""
    network, inputs = a_network(kind), inputs_of(kind, 3, (8, 12))
    step = torch.compile(network.step, fullgraph=True, dynamic=False, backend="aot_eager")
    torch.testing.assert_close(streamed(step, inputs), streamed(network.step, inputs), atol=1e-5, rtol=0)


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
def test_compiled_steps_give_the_same() -> None:
    """With kernels made for it; RDG's would take minutes."""
    network, inputs = a_network("dap"), inputs_of("dap", 3, (8, 12))
    step = optimize_step(network, compiled=True)
    torch.testing.assert_close(streamed(step, inputs), streamed(network.step, inputs), atol=1e-5, rtol=0)


class Recorder:
    """Captures as CUDA does, but for the machine at hand: answers are always the same memory."""

    def __init__(self, works: bool = True) -> None:
        self.captured, self.works = 0, works

    def __call__(self, work: Callable[[], Any], pool: Any) -> tuple[Any, Callable[[], None]]:
        if not self.works:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        self.captured += 1
        answer = work()
        return answer, lambda: copy_tree(work(), answer)


@pytest.mark.parametrize("kind", KINDS)
def test_replayed_streams_are_the_same(kind: str) -> None:
    network, inputs, recorder = a_network(kind), inputs_of(kind), Recorder()
    graphed = GraphedStep(network.step, recorder)
    for _ in range(2):  # two shots
        assert torch.equal(streamed(graphed, inputs), streamed(network.step, inputs)), "and frames are not overwritten"
    assert recorder.captured == 2, "the first step of a shot, and all others"
    other = inputs_of(kind, size=(12, 16))
    assert torch.equal(streamed(graphed, other), streamed(network.step, other))
    assert recorder.captured == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_began_elsewhere_goes_on(kind: str) -> None:
    network, inputs = a_network(kind), inputs_of(kind)
    graphed = GraphedStep(network.step, Recorder())
    _, state = network.step(inputs[0], None)
    copies = [tensor.clone() for tensor in tree_leaves(state)]
    expected, _ = network.step(inputs[1], state)
    result, after = graphed(inputs[1], state)
    assert torch.equal(result, expected)
    assert all(torch.equal(one, other) for one, other in zip(tree_leaves(state), copies, strict=True)), "left as it was"
    assert graphed(inputs[2], after)[1] is after, "held in place"


def test_inputs_are_not_kept() -> None:
    network, inputs = a_network("dap"), inputs_of("dap")
    graphed = GraphedStep(network.step, Recorder())
    first, _ = graphed(inputs[0], None)
    copy = inputs[0].clone()
    graphed(inputs[1], None)
    assert torch.equal(inputs[0], copy)
    assert torch.equal(graphed(inputs[0], None)[0], first)


def test_what_cannot_be_captured_is_called_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    network, inputs = a_network("dap"), inputs_of("dap")
    with caplog.at_level(logging.WARNING, "patchvsr"):
        result = streamed(GraphedStep(network.step, Recorder(works=False)), inputs)
    assert torch.equal(result, streamed(network.step, inputs))
    assert len(caplog.messages) == 1 and "\n" not in caplog.messages[0]
    assert "operation not permitted" in caplog.messages[0]


def test_without_a_gpu_steps_are_called_as_they_are() -> None:
    network, inputs = a_network("rdg"), inputs_of("rdg")
    step = optimize_step(network)
    assert isinstance(step, GraphedStep)
    assert torch.equal(streamed(step, inputs), streamed(network.step, inputs))
    assert step(inputs[0], None)[1] is not step(inputs[0], None)[1], "memory of its own every time"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_graphs_on_the_gpu(kind: str, dtype: torch.dtype, caplog: pytest.LogCaptureFixture) -> None:
    network = prepare(a_network(kind), device="cuda", dtype=dtype)
    inputs = [tree_map(lambda tensor: tensor.cuda(), values) for values in inputs_of(kind, size=(64, 96))]
    torch.cuda.set_sync_debug_mode("error")
    try:
        expected = streamed(network.step, inputs)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    with caplog.at_level(logging.WARNING, "patchvsr"):
        graphed = GraphedStep(network.step)
        for _ in range(2):
            torch.testing.assert_close(streamed(graphed, inputs), expected, atol=2e-3, rtol=0)
    assert not caplog.messages
