"""A page whose work is done: linked, lost afterwards, and the link that is spent."""

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import DESKTOP, PHONE, OpenPage
from tests.page.pictures import a_device, deadline
from tests.page.server import Script, now


def test_linked_says_how_to_remove_it_even_when_the_link_is_spent(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    script.become("linked", device=a_device())
    page.goto(f"{script.url}/link#the-token")
    expect(page.locator(".guide")).to_contain_text("To remove it: Linked devices → Bookwell → Log out.")
    script.refuse("link-spent")
    expect(page.get_by_test_id("device")).to_be_visible()


def test_a_spent_link_ends_the_page_with_the_way_back(desktop: Page, script: Script) -> None:
    script.refuse("link-spent")
    expect(desktop.get_by_test_id("title")).to_have_text("This link no longer works")
    expect(desktop.get_by_test_id("return")).to_have_text("Back to Bookwell")


AFTER_LINKED: list[tuple[str, str, str]] = [
    ("unlinked", "logged-out", "This WhatsApp was unlinked"),
    ("failed", "temporarily-banned", "WhatsApp has paused this number"),
    ("failed", "internal", "Something broke on our side"),
]


@pytest.mark.parametrize(("state", "code", "title"), AFTER_LINKED)
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "told"])
def test_what_is_lost_after_linking_goes_on_by_a_new_link(
    open_page: OpenPage, script: Script, state: str, code: str, title: str, seen: bool
) -> None:
    page = open_page(DESKTOP)
    script.become("linking", attempt=1, method="qr", deadline=deadline())
    if seen:
        page.goto(f"{script.url}/link#the-token")
        expect(page.locator("main")).to_have_attribute("data-link", "ready")
    script.become("linked", "whatsapp-connected", attempt=1, device=a_device())
    script.become(state, attempt=1, failure={"code": code, "retryable": True, "retryAt": now() + 60_000})
    if not seen:
        script.profile["spent"] = True
        page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("title")).to_have_text(title)
    expect(page.locator(".lead")).to_contain_text("ask whoever sent it for a new one")
    expect(page.get_by_test_id("return")).to_be_visible()
    for absent in ("retry", "switch-method", "countdown"):
        expect(page.get_by_test_id(absent)).to_be_hidden()
    assert script.commands() == []


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "told"])
def test_what_was_dropped_at_once_is_tried_again_with_the_same_link(
    open_page: OpenPage, script: Script, seen: bool
) -> None:
    page = open_page(DESKTOP)
    script.profile["spent"] = not seen
    script.become("linking", attempt=1, method="qr", deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    expect(page.locator("main")).to_have_attribute("data-link", "ready")
    script.become("linked", "whatsapp-connected", attempt=1, device=a_device())
    script.become("failed", attempt=1, failure={"code": "dropped-after-linking", "retryable": True})
    page.get_by_test_id("retry").click()
    script.wait_command("request-qr")


def test_a_spent_link_asks_for_nothing(open_page: OpenPage, script: Script) -> None:
    script.profile["spent"] = True
    page = open_page(DESKTOP)
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("title")).to_have_text("This link no longer works")
    assert script.commands() == []


def test_linked_says_what_happens_now(open_page: OpenPage, script: Script) -> None:
    page = open_page(PHONE)
    script.become("linked", device=a_device())
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("return")).to_have_text("Back to Bookwell")
    expect(page.locator(".guide")).to_contain_text("To link another phone, remove this one first.")
    script.profile["returnUrl"] = None
    page.reload()
    expect(page.locator(".lead")).to_contain_text("You can close this page.")
    expect(page.get_by_test_id("return")).to_be_hidden()


def test_a_spent_link_offers_a_new_one_where_there_is_a_place_for_it(open_page: OpenPage, script: Script) -> None:
    script.profile |= {"spent": True, "refreshUrl": "https://bookwell.example/again"}
    page = open_page(PHONE)
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("return")).to_have_text("Get a new link")
    expect(page.get_by_test_id("return")).to_have_attribute("href", "https://bookwell.example/again")


def test_a_return_address_that_is_no_web_page_is_not_offered(open_page: OpenPage, script: Script) -> None:
    script.profile["returnUrl"] = "javascript:alert(1)"
    page = open_page(DESKTOP)
    script.become("linked", device=a_device())
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("device")).to_be_visible()
    expect(page.get_by_test_id("return")).to_be_hidden()


def test_an_unlinked_device_is_told_and_nothing_starts_by_itself(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    script.become("unlinked", failure={"code": "logged-out", "retryable": True})
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("title")).to_have_text("This WhatsApp was unlinked")
    assert script.commands() == []
    page.get_by_test_id("retry").click()
    script.wait_command("request-qr")
