"""The reference of the API at `/docs`, as eyes and ears find it."""

from app.openapi import document
from app.reference import STYLE, render
from tests.page.conftest import OpenPage
from tests.page.test_states import AXE, CONTRAST, MARKUP


def test_the_reference_fits_the_narrowest_screen_and_can_be_read(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 320, "height": 800}, color_scheme="light")
    page.set_content(render(document()))
    page.add_style_tag(content=STYLE)
    page.evaluate(AXE)
    assert page.evaluate(MARKUP) == []
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert page.evaluate(CONTRAST) == []
