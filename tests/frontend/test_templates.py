"""The pack's cards in the template browser."""

import pytest
from fakes.core_nodes import CORE_NODES
from fakes.pack import ROOT
from frontend.browser import missing, open_frontend, static_folder
from frontend.examples import CARDS
from frontend.stub_server import StubServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]
TITLES = [card.title for card in CARDS.values()]
CARD = "[data-testid^=template-workflow-]"
READ = """(cards) => cards.map((card) => ({
    title: card.querySelector('h3').textContent,
    text: card.innerText,
    drawn: [...card.querySelectorAll('img')].every((picture) => picture.complete && picture.naturalWidth > 0)
}))"""


@pytest.fixture(scope="module")
def page(pack):
    folders = {"web": ROOT / "web", "templates": ROOT / "example_workflows"}
    with (
        StubServer(static_folder(), {**CORE_NODES, **pack.object_info()}, **folders) as server,
        open_frontend(server.address, width=1600, height=1600) as page,
    ):
        page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
        page.locator(CARD).first.wait_for()
        yield page


def test_cards_have_titles_tags_and_pictures_and_stand_in_our_order(page):
    page.wait_for_function(f"() => document.querySelectorAll('{CARD} img').length >= {len(CARDS)}")
    page.wait_for_function("() => [...document.images].every((picture) => picture.complete)")
    cards = page.locator(CARD).evaluate_all(READ)
    assert [card["title"] for card in cards] == TITLES
    for shown, card in zip(cards, CARDS.values(), strict=True):
        assert shown["drawn"] and card.tags[0] in shown["text"]


def test_they_are_found_under_the_name_of_the_pack_and_by_their_descriptions(page):
    page.get_by_text("PatchVSR", exact=True).first.click()
    assert page.locator(f"{CARD} h3").all_text_contents() == TITLES
    page.get_by_role("textbox").first.fill("subtitles")
    page.wait_for_function(f"() => document.querySelectorAll('{CARD}').length < {len(CARDS)}")
    assert page.locator(f"{CARD} h3").first.text_content() == "Upscale a video"
    page.get_by_role("textbox").first.fill("")
    page.wait_for_function(f"() => document.querySelectorAll('{CARD}').length === {len(CARDS)}")


def test_a_click_opens_the_workflow(page):
    page.locator(CARD).first.click()
    page.wait_for_function("() => app.graph._nodes.some((node) => node.type === 'PatchVSR_UpscaleVideo')")
    assert page.script_errors == []
