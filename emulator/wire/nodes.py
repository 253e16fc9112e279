"""Stanzas: what WhatsApp's client and server say to each other.

A stanza is a node: a tag, attributes, and nothing, bytes, text or a list of nodes inside. binary_xml.py puts it on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SERVER = "s.whatsapp.net"
LID_SERVER = "lid"
GROUP_SERVER = "g.us"


@dataclass(frozen=True, slots=True)
class Jid:
    """An address: `user` (digits) at `server`; `device` 0 is the phone itself."""

    user: str
    server: str = SERVER
    device: int = 0

    def __str__(self) -> str:
        device = f":{self.device}" if self.device else ""
        return f"{self.user}{device}@{self.server}" if self.user else self.server


SERVER_JID = Jid("")


@dataclass(frozen=True, slots=True)
class Node:
    """One stanza or a part of one. `content` is bytes, text, a tuple of nodes, or None."""

    tag: str
    attrs: Mapping[str, str | Jid] = field(default_factory=dict)
    content: bytes | str | tuple[Node, ...] | None = None

    @property
    def children(self) -> tuple[Node, ...]:
        return self.content if isinstance(self.content, tuple) else ()

    def child(self, *path: str) -> Node | None:
        """The first node down this path of tags, or None."""
        node: Node | None = self
        for tag in path:
            node = next((child for child in node.children if child.tag == tag), None) if node else None
        return node

    def data(self, *path: str) -> bytes:
        """The bytes inside the node at `path`; empty when there are none."""
        node = self.child(*path)
        content = node.content if node else None
        return content.encode() if isinstance(content, str) else content if isinstance(content, bytes) else b""

    def attr(self, name: str) -> str:
        """The attribute as text; empty when it is missing."""
        value = self.attrs.get(name, "")
        return str(value)

    def jid(self, name: str) -> Jid | None:
        """The attribute if it is an address."""
        value = self.attrs.get(name)
        return value if isinstance(value, Jid) else None

    def __str__(self) -> str:
        attrs = "".join(f' {key}="{value}"' for key, value in self.attrs.items())
        if self.content is None:
            return f"<{self.tag}{attrs}/>"
        if isinstance(self.content, tuple):
            inside = "".join(str(child) for child in self.content)
        else:
            inside = self.content if isinstance(self.content, str) else f"[{len(self.content)} bytes]"
        return f"<{self.tag}{attrs}>{inside}</{self.tag}>"
