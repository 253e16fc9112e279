"""The real neonize in a process of its own, steered by JSON lines: what it says goes to stdout, commands come on stdin.

Lines out: {"event": "qr", "text": ...}, {"event": "status", "word": ...}, {"event": "ended", "error": ...}, and one for each
neonize event by its name. Commands in: {"do": "code", "phone": ...}, {"do": "send", "to": ..., "text": ...}, {"do": "texts", "to": JSON list},
{"do": "logout"}, {"do": "stop"}. Answers carry "event": "code", "sent", "logged-out" or "failed". The process ends by os._exit: an unpaired client's
thread never does.
"""

import asyncio
import ctypes
import json
import logging
import os
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

logging.basicConfig(level=logging.WARNING)
logging.getLogger("neonize.utils.log").setLevel(logging.WARNING)
_OUT = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

import pylibmagic  # noqa: E402, F401
from neonize.aioze import events  # noqa: E402
from neonize.aioze.client import NewAClient  # noqa: E402
from neonize.utils.enum import ClientName, ClientType  # noqa: E402
from neonize.utils.jid import build_jid  # noqa: E402

_LOCK = threading.Lock()
_TOLD = (
    events.ClientOutdatedEv,
    events.ConnectedEv,
    events.ConnectFailureEv,
    events.DisconnectedEv,
    events.HistorySyncEv,
    events.KeepAliveRestoredEv,
    events.KeepAliveTimeoutEv,
    events.LoggedOutEv,
    events.OfflineSyncCompletedEv,
    events.PairStatusEv,
    events.RotateADVSecretEv,
    events.StreamErrorEv,
    events.StreamReplacedEv,
    events.TemporaryBanEv,
)


def tell(event: str, **more: object) -> None:
    """One line out; called from Go's threads too."""
    with _LOCK:
        _OUT.write(json.dumps({"event": event, **more}) + "\n")
        _OUT.flush()


def detail(message: object) -> dict[str, object]:
    """The plain fields of a neonize event."""
    return {
        field.name: value
        for field, value in message.ListFields()  # type: ignore[attr-defined]
        if isinstance(value, str | int | float | bool)
    }


def said(message: events.MessageEv) -> dict[str, object]:
    """What a message says, and whose it is."""
    source, inside = message.Info.MessageSource, message.Message
    extended, protocol = inside.extendedTextMessage, inside.protocolMessage
    return {
        "id": message.Info.ID,
        "chat": f"{source.Chat.User}@{source.Chat.Server}",
        "sender": source.Sender.User,
        "alt": source.SenderAlt.User,
        "own": source.IsFromMe,
        "group": source.IsGroup,
        "fields": [field.name for field, _ in inside.ListFields() if field.name != "messageContextInfo"],
        "text": inside.conversation
        or extended.text
        or inside.reactionMessage.text
        or protocol.editedMessage.conversation,
        "target": inside.reactionMessage.key.ID or protocol.key.ID,
        "quoted": extended.contextInfo.stanzaID,
    }


async def command(client: NewAClient, order: dict[str, str]) -> None:
    """Does one command."""
    try:
        match order["do"]:
            case "code":
                code = await client.PairPhone(
                    order["phone"], True, client_name=ClientName.LINUX, client_type=ClientType.CHROME
                )
                tell("code", code=code)
            case "send":
                answer = await client.send_message(build_jid(order["to"]), order["text"])
                tell("sent", id=answer.ID)
            case "texts":
                for place, to in enumerate(json.loads(order["to"])):
                    await client.send_message(build_jid(to), str(place))
                tell("sent-all")
            case "group":
                answer = await client.send_message(build_jid(order["to"], "g.us"), order["text"])
                tell("sent", id=answer.ID)
            case "known":
                found = await client.is_on_whatsapp(order["to"])
                tell("known", found=[[one.Query, one.JID.User, one.IsIn] for one in found])
            case "logout":
                await client.logout()
                tell("logged-out")
            case "stop":
                await client.stop()
                tell("stopped")
    except Exception as error:  # whatever the library raises is what the test wants to see
        tell("failed", do=order["do"], error=f"{type(error).__name__}: {error}")


async def main(database: str) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(64))
    client = NewAClient(database, uuid=uuid.uuid4().hex)

    async def on_qr(_: NewAClient, text: bytes) -> None:
        tell("qr", text=text.decode())

    def on_status(_: int, text: int) -> None:
        tell("status", word=ctypes.string_at(text).decode())

    client.event.qr(on_qr)
    client._NewAClient__onLoginStatus = on_status
    for kind in _TOLD:

        async def on_event(_: NewAClient, message: object) -> None:
            tell(type(message).__name__, **detail(message))

        client.event(kind)(on_event)

    async def on_message(_: NewAClient, message: events.MessageEv) -> None:
        tell("message", **said(message))

    async def on_receipt(_: NewAClient, receipt: events.ReceiptEv) -> None:
        tell("receipt", ids=list(receipt.MessageIDs), type=receipt.Type)

    client.event(events.MessageEv)(on_message)
    client.event(events.ReceiptEv)(on_receipt)
    task = await client.connect()
    task.add_done_callback(
        lambda done: tell("ended", error=str(done.exception()) if not done.cancelled() else "cancelled")
    )
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running = set()
    while line := await reader.readline():
        work = asyncio.create_task(command(client, json.loads(line)))
        running.add(work)
        work.add_done_callback(running.discard)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
