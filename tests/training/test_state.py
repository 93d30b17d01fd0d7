"""A run's state is read wherever it goes on."""

from pathlib import Path

import pytest
import torch

from patchvsr_core.training.state import read_state


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu", 0)])
def test_a_state_is_read_by_one_of_several_processes(tmp_path: Path, device: str | torch.device) -> None:
    """Processes that train together call the CPU cpu:0, which torch.load does not know."""
    torch.save({"step": 3, "model": {"critic.a": torch.ones(2)}, "average": {}}, tmp_path / "state.pt")
    state = read_state(tmp_path / "state.pt", device)
    assert state["step"] == 3
    assert torch.equal(state["model"]["discriminator.a"], torch.ones(2))
