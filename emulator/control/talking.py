"""The calls of the control port by which phones write, say what they read, and are in groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.control import models
from emulator.control.reading import BadRequest, number_in, read_body
from emulator.life import LIFE
from emulator.phone.living import happen
from emulator.phone.scene import Scene
from emulator.phone.talk import Talk
from emulator.server.directory import group_address
from emulator.server.state import now_ms
from emulator.server.world import Group, World
from emulator.wire import content
from emulator.wire.nodes import Jid

_EDIT, _DELETION = "1", "7"
"""Values of a stanza's attribute `edit`, for one that changes or takes back another."""


def _text(body: models.SayBody, chat: str) -> bytes:
    return content.text(body.text, quoted=body.quoted, quoted_from=chat, quoted_text=body.quoted_text)


def _reaction(body: models.SayBody, chat: str) -> bytes:
    return content.reaction(chat, body.target, body.text, now_ms(), from_me=body.target_is_own)


def _edit(body: models.SayBody, chat: str) -> bytes:
    return content.edit(chat, body.target, body.text, now_ms())


def _deletion(body: models.SayBody, chat: str) -> bytes:
    return content.deletion(chat, body.target)


def _location(_: models.SayBody, __: str) -> bytes:
    return content.location(55.75, 37.62)


def _media(body: models.SayBody, _: str) -> bytes:
    return content.media(body.kind, body.text)


_KINDS: dict[str, tuple[str, str, Callable[[models.SayBody, str], bytes]]] = {
    "text": ("text", "", _text),
    "reaction": ("reaction", "", _reaction),
    "edit": ("text", _EDIT, _edit),
    "deletion": ("text", _DELETION, _deletion),
    "location": ("media", "", _location),
    **dict.fromkeys(("image", "document", "audio", "video", "sticker"), ("media", "", _media)),
}
"""Kinds of messages: the stanza's type, its `edit`, and the content."""


class Talking:
    """The calls."""

    def __init__(self, world: World, talk: Talk) -> None:
        self._world, self._talk = world, talk

    def routes(self) -> list[Route]:
        return [
            Route("/phones/{number:int}/say", self.say, methods=["POST"]),
            Route("/phones/{number:int}/receipt", self.receipt, methods=["POST"]),
            Route("/phones/{number:int}/reinstall", self.reinstall, methods=["POST"]),
            Route("/phones/{number:int}/live", self.live, methods=["POST"]),
            Route("/life", self.life),
            Route("/groups", self.groups),
            Route("/groups/{group:int}", self.group, methods=["PUT", "DELETE"]),
        ]

    async def say(self, request: Request) -> Response:
        """A phone writes to a number or to a group."""
        body = await read_body(request, models.SayBody)
        writer = self._world.state.account(number_in(request))
        kind, edit, make = _KINDS[body.kind]
        if body.group is None:
            reader = self._world.state.account(body.to)
            plain = make(body, str(Jid(reader.number)))
            message_id = self._talk.say(writer, reader, plain, kind=kind, edit=edit, lid=body.lid)
        else:
            group = self._world.groups.get(body.group)
            if group is None or writer.number not in group.members:
                raise BadRequest(f"{writer.number} is in no group {body.group}")
            plain = make(body, str(group_address(group)))
            message_id = self._talk.say_in(writer, group, plain, kind=kind, edit=edit)
        return JSONResponse({"id": message_id})

    async def receipt(self, request: Request) -> Response:
        """A phone says what became of a message that it got."""
        body = await read_body(request, models.ReceiptBody)
        message = self._world.messages.get((body.sender, body.message_id))
        if message is None:
            raise BadRequest(f"{body.sender} sent no message {body.message_id}")
        self._talk.receipt(self._world.state.account(number_in(request)), message, body.type)
        return JSONResponse({})

    async def reinstall(self, request: Request) -> Response:
        """A number moves to a new phone, and its contacts' linked devices are told, or find out."""
        body = await read_body(request, models.ReinstallBody)
        told = self._talk.reinstall(self._world.state.account(number_in(request)), told=body.told)
        return JSONResponse({"told": told})

    async def live(self, request: Request) -> Response:
        """Something of ordinary life happens to the linked devices of a phone."""
        body, owner = await read_body(request, models.LifeBody), self._world.state.account(number_in(request))
        wanted = [device for device in owner.devices.values() if body.device in (None, device.id)]
        for device in wanted * body.times:
            scene = Scene(self._world, self._talk, owner, device, self._world.course.dice, body.messages, body.chats)
            happen(scene, body.life)
        return JSONResponse({"devices": [device.id for device in wanted]})

    async def life(self, _: Request) -> Response:
        course = self._world.course
        return JSONResponse({"rate": course.rate, "seed": course.seed, "life": LIFE})

    async def groups(self, _: Request) -> Response:
        return JSONResponse({"groups": [asdict(group) for group in self._world.groups.values()]})

    async def group(self, request: Request) -> Response:
        name = str(request.path_params["group"])
        if request.method == "DELETE":
            self._world.groups.pop(name, None)
            return JSONResponse({"id": name})
        body = await read_body(request, models.GroupBody)
        group = self._world.groups[name] = Group(name, body.subject, tuple(body.members), now_ms() // 1000)
        return JSONResponse(asdict(group))
