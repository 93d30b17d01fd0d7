"""A sample of tests/faults/test_hostile.py, which tries hundreds."""

from __future__ import annotations

from hostile import load_mutated, run_fuzzed_jobs

from patchvsr_core.hosts.diffusers.models import load_models


def test_mutated_weights_end_in_one_sentence_or_load() -> None:
    assert load_mutated(0, 20) == []


def test_jobs_with_any_settings_end_in_one_sentence_or_a_result() -> None:
    assert run_fuzzed_jobs(load_models(device="cpu"), 0, 20) == []
