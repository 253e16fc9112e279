"""Ordinary life as it comes to one linked device: an act for each Life, and the phones to whose owners it happens."""

from __future__ import annotations

from collections.abc import Callable

from emulator.events import Kind
from emulator.life import Life
from emulator.phone import life_letters as letters
from emulator.phone import life_notices as notices
from emulator.phone.scene import Scene
from emulator.phone.talk import Talk
from emulator.server.world import Linked, Peer

_ACTS: dict[Life, Callable[[Scene], None]] = {
    Life.HISTORY: letters.pour_history,
    Life.APP_STATE: letters.app_state,
    Life.LID_MIGRATION: letters.lid_migration,
    Life.BACKLOG: letters.backlog,
    Life.TEXT: letters.inbound_text,
    Life.MEDIA: letters.inbound_media,
    Life.REACTION: letters.reaction,
    Life.EDIT: letters.edited_text,
    Life.DELETION: letters.deletion,
    Life.OWN_TEXT: letters.own_text,
    Life.GROUP_TEXT: letters.group_text,
    Life.UNREADABLE: letters.unreadable,
    Life.STATUS_POST: notices.status_post,
    Life.CALL: notices.call,
    Life.GROUP_NOTICE: notices.group_notice,
    Life.ACCOUNT_SYNC: notices.account_sync,
    Life.DEVICES: notices.devices,
    Life.IDENTITY: notices.identity,
    Life.PREKEYS_LOW: notices.prekeys_low,
    Life.PRIVACY_TOKEN: notices.privacy_token,
    Life.PROFILE: notices.profile,
    Life.NEWSLETTER: notices.newsletter,
    Life.TIME_LOCK: notices.time_lock,
    Life.EDGE_ROUTING: notices.edge_routing,
    Life.DIRTY: notices.dirty,
    Life.PRESENCE: notices.presence,
    Life.SERVER_PING: notices.server_ping,
    Life.ODD: notices.odd,
    Life.MEDIA_RECEIPT: notices.media_receipt,
}


class Phones(Talk):
    """The phones of a world: they talk, and things happen to their owners."""

    def live(self, peer: Peer, linked: Linked, *, arriving: bool = False) -> None:
        """An occasion at which something of ordinary life may happen to a device that is there."""
        course = self._world.course
        if (life := course.next(peer.settings.life, arriving=arriving)) is not None:
            happen(Scene(self._world, self, linked.account, linked.device, course.dice), life)


def happen(scene: Scene, life: Life) -> None:
    """Make the event happen now."""
    _ACTS[life](scene)
    scene.world.events.add(Kind.LIFE, phone=scene.owner.number, life=life, device=scene.device.id)
