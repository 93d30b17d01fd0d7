"""What a user gets who opens an example without the files that it names."""

import json
import re

import pytest
from fakes.core_nodes import CORE_NODES
from fakes.workflow import example
from frontend.browser import missing, open_frontend, static_folder
from frontend.stub_server import StubServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]


def test_missing_files_are_offered_for_download(pack):
    info = json.loads(json.dumps({**CORE_NODES, **pack.object_info()}))
    for node, name in (("UNETLoader", "unet_name"), ("VAELoader", "vae_name"), ("CLIPLoader", "clip_name")):
        info[node]["input"]["required"][name][0] = ["another.safetensors"]
    workflow = json.loads(example("patchvsr_wan21").read_text())
    with StubServer(static_folder(), info) as server, open_frontend(server.address, width=1600) as page:
        page.evaluate("(workflow) => app.loadGraphData(workflow)", workflow)
        page.get_by_text("View details").first.click()
        for name in ("wan2.1_t2v_1.3B_fp16", "wan_2.1_vae", "umt5_xxl_fp8_e4m3fn_scaled"):
            page.get_by_text(f"{name}.safetensors").first.wait_for(timeout=10_000)
        assert page.get_by_text(re.compile("download", re.IGNORECASE)).count() > 0
