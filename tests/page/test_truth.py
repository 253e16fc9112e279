"""Whatever is clicked, in whatever order, the page tells the truth: every ending in words, every living code and QR, and
nothing that is not so. The pure parts play thousands of random games; the whole page plays a few."""

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from app.page.modules import joined
from tests.page.conftest import DESKTOP, PHONE, OpenPage
from tests.page.pictures import a_code, a_device, a_qr, deadline
from tests.page.server import Script
from tests.page.test_endings import HIDE
from tests.page.test_words import read

ROOT = Path(__file__).resolve().parents[2]
GAMES, MOVES = 4_000, 40

SHOWN = """() => ({
    title: document.querySelector("[data-testid=title]").textContent,
    said: document.querySelector(".panel .head").innerText,
    step: document.querySelector("main").dataset.step,
    turn: document.querySelector("[data-testid=switch-method]").checkVisibility({visibilityProperty: true}),
    qr: document.querySelector("[data-testid=qr]").checkVisibility({visibilityProperty: true}),
    code: document.querySelector("[data-testid=code]").checkVisibility({visibilityProperty: true}),
    unexpected: document.querySelector(".unexpected").checkVisibility({visibilityProperty: true}),
})"""


def game(seed: int) -> str:
    """A script that plays, and leaves its faults in `faults`."""
    code = joined("tests/page/play/player.js", lambda name: (ROOT / name).read_text())
    options = {"seed": seed, "games": GAMES, "length": MOVES, "words": read("en")}
    return f"{code}\nconst faults = play({json.dumps(options)});"


@pytest.mark.parametrize("seed", [1, 500_000])
def test_whatever_is_clicked_the_pure_page_tells_the_truth(request: pytest.FixtureRequest, seed: int) -> None:
    if node := shutil.which("node"):
        command = [node, "--input-type=module"]
        code = f"{game(seed)}\nconsole.log(JSON.stringify(faults));"
        played = subprocess.run(command, input=code, capture_output=True, text=True, timeout=300)
        assert played.returncode == 0, played.stderr
        faults = json.loads(played.stdout)
    else:
        chromium: Browser = request.getfixturevalue("chromium")
        page = chromium.new_page()
        faults = page.evaluate(f"() => {{ {game(seed)}\nreturn faults; }}")
        page.close()
    assert not faults, "\n".join(faults)


class Game:
    """A whole page, a server that may do anything, and somebody who clicks anywhere."""

    def __init__(self, page: Page, script: Script, seed: int) -> None:
        self.page = page
        self.script = script
        self.dice = random.Random(seed)
        self.words = read("en")
        self.story: list[str] = []

    def step(self) -> None:
        """The server goes one step on, and the page has to say so."""
        new_state = {
            "unlinked": ["queued"],
            "queued": ["connecting", "failed"],
            "connecting": ["awaiting_phone", "awaiting_phone", "failed"],
            "awaiting_phone": ["awaiting_phone", "linking", "failed", "expired", "cancelled"],
            "linking": ["linked", "failed"],
        }
        now = self.script.snapshot
        state = self.dice.choice(new_state.get(now["state"], ["queued"]))
        parts: dict[str, Any] = {
            "attempt": now["attempt"] + (state == "queued"),
            "method": self.dice.choice(["qr", "code"]),
        }
        if state in {"queued", "connecting", "awaiting_phone", "linking"}:
            parts["deadline"] = deadline()
        if state == "awaiting_phone":
            parts["qr"] = a_qr()
            if parts["method"] == "code":
                parts["code"] = a_code()
        if state == "failed":
            # Of those that leave the link as it is.
            parts["failure"] = {"code": self.dice.choice(["pairing-refused", "wrong-number"]), "retryable": True}
        if state == "linked":
            parts["device"] = a_device()
        self.story.append(f"{state} {parts['attempt']}")
        self.script.become(state, **parts)

    def click(self) -> None:
        """Press one of the buttons that can be pressed."""
        names = ["switch-method", "cancel", "retry", "show-qr", "change-number", "get-code"]
        buttons = [self.page.get_by_test_id(name) for name in names]
        shown = [
            one for one in buttons if one.count() and one.is_visible() and one.get_attribute("aria-disabled") is None
        ]
        if not shown:
            return
        button = self.dice.choice(shown)
        self.story.append(f"click {button.get_attribute('data-testid')}")
        if button.get_attribute("data-testid") == "get-code":
            self.page.get_by_test_id("phone").fill("+79001234567")
        # Without waiting: a thing may go while it is aimed at.
        button.evaluate("(node) => node.click()")

    def look_away(self) -> None:
        """Hide the tab and come back to it, or lose the socket."""
        if self.dice.random() < 0.5:
            self.story.append("hide and return")
            self.page.evaluate(HIDE, True)
            self.page.evaluate(HIDE, False)
        else:
            self.story.append("cut")
            before = self.script.opened
            self.script.cut(1012)
            self.script.wait_open(before + 1)
            expect(self.page.locator("main")).to_have_attribute("data-link", "ready")

    def check(self) -> None:
        """What is on the screen is so."""
        snapshot = self.script.snapshot
        state, story = snapshot["state"], "\n".join(self.story)
        expect(self.page.locator("main")).to_have_attribute("data-seq", str(snapshot["seq"]))
        shown = self.page.evaluate(SHOWN)
        about = f"{story}\n{snapshot['state']}: {shown}"
        if state in {"linking", "linked", "failed"}:
            assert not shown["unexpected"], about
        if state == "awaiting_phone":
            assert shown["qr"] or shown["turn"], about
            assert "code" not in snapshot or shown["code"] or shown["turn"], about
        if state in {"linking", "linked"}:
            assert shown["step"] == state, about
        if self.story[-1].startswith("failed"):
            assert shown["title"] == self.words[f"failure.{snapshot['failure']['code']}.title"], about
        if self.story[-1].startswith("cancelled"):
            afterwards = any(command["type"] == "cancel" for command in self.script.commands())
            assert "Cancelled" in shown["said"] or afterwards, about


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_clicked_the_whole_page_tells_the_truth(open_page: OpenPage, script: Script, seed: int) -> None:
    page = open_page(PHONE if seed % 2 else DESKTOP)
    page.goto(f"{script.url}/link#the-token")
    expect(page.locator("main")).to_have_attribute("data-link", "ready")
    game = Game(page, script, seed)
    for _ in range(40):
        game.dice.choice([game.step, game.step, game.click, game.click, game.look_away])()
        game.check()
