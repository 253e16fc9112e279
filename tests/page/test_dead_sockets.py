"""Sockets that are dead without knowing, or that cannot even be opened: replaced by themselves, or a reload is offered."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import PHONE, OpenPage, take_out
from tests.page.pictures import a_qr, deadline
from tests.page.server import Script


def test_a_page_whose_sockets_are_refused_offers_a_reload_that_helps(open_page: OpenPage, script: Script) -> None:
    script.forbidding = True
    page = open_page(PHONE)
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("toast")).to_contain_text("We can’t get through.")
    with page.expect_event("load"):
        page.get_by_role("button", name="Reload").click()
    script.forbidding = False  # not sooner: the page would come back by itself, and the button be gone
    expect(page.locator("main")).to_have_attribute("data-link", "ready")
    expect(page.get_by_test_id("toast")).to_be_hidden()


def test_a_reload_is_not_done_while_nothing_answers(open_page: OpenPage, script: Script, complaints: list[str]) -> None:
    script.forbidding = True
    page = open_page(PHONE)
    page.goto(f"{script.url}/link#the-token")
    button = page.get_by_role("button", name="Reload")
    expect(button).to_be_visible()
    aborted = []

    def abort(route: Route) -> None:
        aborted.append(route)
        route.abort()

    page.route("**/link", abort)
    with page.expect_request("**/link"):
        button.click()
    script.forbidding = False
    expect(page.locator("main")).to_have_attribute("data-link", "ready")
    take_out(complaints, page, failed=len(aborted))


def test_a_server_that_does_not_answer_the_hello_is_tried_anew(open_page: OpenPage, script: Script) -> None:
    page = open_page(PHONE)
    page.clock.install()
    script.silent = True
    page.goto(f"{script.url}/link#the-token")
    script.wait_open(1)
    script.silent = False
    page.clock.run_for(11_000)
    expect(page.locator("main")).to_have_attribute("data-link", "ready")


def test_going_online_replaces_a_socket_that_only_seems_alive(desktop: Page, script: Script) -> None:
    desktop.wait_for_load_state("networkidle")
    desktop.context.set_offline(True)
    desktop.context.set_offline(False)
    script.wait_open(2)
    expect(desktop.locator("main")).to_have_attribute("data-link", "ready")


@pytest.mark.parametrize("left", [150, -5], ids=["qr", "end"])
def test_news_that_is_owed_and_does_not_come_is_asked_for_on_one_new_socket(
    desktop: Page, script: Script, left: int
) -> None:
    qr = a_qr(seconds=-5)
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=qr, deadline=deadline(left))
    script.wait_open(2)
    expect(desktop.locator("main")).to_have_attribute("data-link", "ready")
    # That socket has told the same: there is nothing to be had by a third one.
    script.repeat()
    desktop.get_by_test_id("retry").click()
    script.wait_command("request-qr", 2)
    assert script.opened == 2
