"""The texts of a held session on their way into the library: one at a time, and none before one that could not leave."""

import asyncio

import pytest

from workers.engine.child import texts as module
from workers.engine.child.happenings import ClientError
from workers.engine.child.texts import TextTurns
from workers.engine.protocol import Confirmed, Receipt, Send, SendFailed, Sent


class FakeSession:
    """A session whose library does what the test says."""

    def __init__(self):
        self.up, self.restarts, self.lines, self.sent = True, 0, [], []
        self.client, self.name = self, "s"
        self.answers: asyncio.Queue[object] = asyncio.Queue()

    async def send_text(self, _to, text):
        self.sent.append(text)
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def tell(self, line):
        self.lines.append(line)

    def restart(self):
        self.restarts += 1


def order(text, volley=0):
    return Send(session="s", message=text, to="+79001234567", text=text, volley=volley)


@pytest.fixture
def session():
    return FakeSession()


@pytest.fixture
async def texts(session):
    return TextTurns(session)


async def test_a_text_waits_for_the_end_of_the_one_before(session, texts):
    both = [asyncio.create_task(texts.send(order(text))) for text in ("a", "b")]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert session.sent == ["a"]
    session.answers.put_nowait(("3EB0", 1_000))
    session.answers.put_nowait(ClientError("server returned error 463"))
    await asyncio.gather(*both)
    assert session.lines == [
        Sent(session="s", message="a", whatsapp_id="3EB0", at=1_000),
        SendFailed(session="s", message="b", reason="server returned error 463"),
    ]


async def test_when_a_text_cannot_leave_none_behind_it_does_until_it_comes_again(session, texts):
    session.up = False
    await texts.send(order("a"))
    session.up = True
    await texts.send(order("b"))
    assert [(line.message, line.reason) for line in session.lines] == [("a", "not connected"), ("b", "not connected")]
    session.answers.put_nowait(("1", 1))
    await texts.send(order("a", volley=1))
    assert session.sent == ["a"]


async def test_a_text_without_an_answer_ends_at_its_limit_and_the_session_is_connected_anew(
    session, texts, monkeypatch
):
    monkeypatch.setattr(module, "ANSWER_LIMIT", 0.01)
    await texts.send(order("a"))
    await texts.send(order("b"))
    assert session.restarts == 1
    assert [line.reason for line in session.lines] == ["no answer within 0 s", "not connected"]
    session.answers.put_nowait(ClientError("too late"))  # the old call ends, and nobody is told
    session.answers.put_nowait(("2", 2))
    await texts.send(order("b", volley=1))
    assert session.lines[2:] == [Sent(session="s", message="b", whatsapp_id="2", at=2)]


async def test_a_session_that_is_released_sends_what_is_under_way_and_nothing_more(session, texts):
    first, second = (asyncio.create_task(texts.send(order(text))) for text in ("a", "b"))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(texts.stop(5))
    await asyncio.sleep(0)
    session.answers.put_nowait(("1", 1))
    await asyncio.gather(first, second, stopping)
    assert [line.message for line in session.lines if isinstance(line, Sent)] == ["a"]
    assert session.lines[1] == SendFailed(session="s", message="b", reason="stopped")


async def test_a_receipt_that_overtakes_the_end_of_its_text_is_told_after_it(session, texts):
    sending = asyncio.create_task(texts.send(order("a")))
    await asyncio.sleep(0)
    await texts.confirmed(Receipt.DELIVERED, ["3EB0"], 2)
    assert session.lines == []
    session.answers.put_nowait(("3EB0", 1))
    await sending
    delivered = Confirmed(session="s", receipt=Receipt.DELIVERED, whatsapp_ids=["3EB0"], at=2)
    assert session.lines == [Sent(session="s", message="a", whatsapp_id="3EB0", at=1), delivered]
    await texts.confirmed(Receipt.READ, ["3EB0"], 3)
    assert session.lines[2].receipt is Receipt.READ


@pytest.mark.parametrize("when", ["before the text is acknowledged", "after it"])
async def test_a_text_that_left_without_its_receiver_is_told(session, texts, when):
    if when.startswith("before"):
        await texts.left_out("3EB0")
    session.answers.put_nowait(("3EB0", 1))
    await texts.send(order("a"))
    if when.startswith("after"):
        await texts.left_out("3EB0")
    assert session.lines[1:] == [Confirmed(session="s", receipt=Receipt.NO_KEYS, whatsapp_ids=["3EB0"])]
