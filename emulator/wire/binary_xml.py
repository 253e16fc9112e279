"""Binary XML: how stanzas lie on the wire.

A node is a list of `1 + 2 * attributes + (1 if content)` values; a value is a word of the lists (words.py), a packed number, an
address (JID), bytes or a list. Source of the tag bytes: whatsmeow binary/token.
"""

from __future__ import annotations

import zlib

from emulator.wire.nodes import LID_SERVER, SERVER, Jid, Node
from emulator.wire.words import Words

_LIST_EMPTY, _DICTIONARY_0, _DICTIONARY_3 = 0, 236, 239
_AD_JID, _LIST_8, _LIST_16, _JID_PAIR, _HEX_8 = 247, 248, 249, 250, 251
_BINARY_8, _BINARY_20, _BINARY_32, _NIBBLE_8 = 252, 253, 254, 255
_NIBBLES = "0123456789-."
_HEXES = "0123456789ABCDEF"
_MOST_PACKED = 127
_DOMAINS = {SERVER: 0, LID_SERVER: 1}
"""The byte that names the server of an address with a device."""


class MalformedStanza(ValueError):
    """The bytes are no stanza."""


def encode(node: Node, words: Words) -> bytes:
    """The wire form, with the leading byte that says "not compressed"."""
    out = bytearray(b"\x00")
    _write_node(out, node, words)
    return bytes(out)


def decode(data: bytes, words: Words) -> Node:
    """The stanza in `data` (leading flag byte first). Raises MalformedStanza."""
    if not data:
        raise MalformedStanza("an empty frame")
    try:
        body = zlib.decompress(data[1:]) if data[0] & 2 else data[1:]
        reader = _Reader(body, words)
        node = reader.node()
    except (IndexError, UnicodeDecodeError, zlib.error) as error:
        raise MalformedStanza(f"not a stanza: {error}") from error
    if reader.at != len(body):
        raise MalformedStanza(f"{len(body) - reader.at} bytes are left over after <{node.tag}>")
    return node


def _write_list_size(out: bytearray, size: int) -> None:
    if size == 0:
        out.append(_LIST_EMPTY)
    elif size < 256:
        out += bytes([_LIST_8, size])
    else:
        out += bytes([_LIST_16]) + size.to_bytes(2)


def _write_node(out: bytearray, node: Node, words: Words) -> None:
    attrs = [(key, value) for key, value in node.attrs.items() if value != ""]
    _write_list_size(out, 1 + 2 * len(attrs) + (node.content is not None))
    _write_text(out, node.tag, words)
    for key, value in attrs:
        _write_text(out, key, words)
        if isinstance(value, Jid):
            _write_jid(out, value, words)
        else:
            _write_text(out, value, words)
    if isinstance(node.content, tuple):
        _write_list_size(out, len(node.content))
        for child in node.content:
            _write_node(out, child, words)
    elif isinstance(node.content, bytes):
        _write_raw(out, node.content)
    elif isinstance(node.content, str):
        _write_text(out, node.content, words)


def _write_raw(out: bytearray, data: bytes) -> None:
    if len(data) < 256:
        out += bytes([_BINARY_8, len(data)])
    elif len(data) < 1 << 20:
        out += bytes([_BINARY_20]) + len(data).to_bytes(3)
    else:
        out += bytes([_BINARY_32]) + len(data).to_bytes(4)
    out += data


def _write_text(out: bytearray, text: str, words: Words) -> None:
    code = words.codes.get(text)
    if code is not None:
        out += code
    elif text and len(text) <= _MOST_PACKED and all(char in _NIBBLES for char in text):
        _write_packed(out, text, _NIBBLE_8, _NIBBLES)
    elif text and len(text) <= _MOST_PACKED and all(char in _HEXES for char in text):
        _write_packed(out, text, _HEX_8, _HEXES)
    else:
        _write_raw(out, text.encode())


def _write_packed(out: bytearray, text: str, tag: int, alphabet: str) -> None:
    values = [alphabet.index(char) for char in text]
    odd = len(values) % 2
    if odd:
        values.append(15)
    out += bytes([tag, len(values) // 2 | odd << 7])
    out += bytes(high << 4 | low for high, low in zip(values[::2], values[1::2], strict=True))


def _write_jid(out: bytearray, jid: Jid, words: Words) -> None:
    if jid.device and jid.server in _DOMAINS:
        out += bytes([_AD_JID, _DOMAINS[jid.server], jid.device])
        _write_text(out, jid.user, words)
        return
    out.append(_JID_PAIR)
    if jid.user:
        _write_text(out, jid.user, words)
    else:
        out.append(_LIST_EMPTY)
    _write_text(out, jid.server, words)


class _Reader:
    def __init__(self, data: bytes, words: Words) -> None:
        self.data, self.words, self.at = data, words, 0

    def byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def raw(self, length: int) -> bytes:
        if self.at + length > len(self.data):
            raise IndexError(f"{length} bytes announced, {len(self.data) - self.at} left")
        part = self.data[self.at : self.at + length]
        self.at += length
        return part

    def size(self, tag: int) -> int:
        match tag:
            case 0:
                return 0
            case 248:
                return self.byte()
            case 249:
                return int.from_bytes(self.raw(2))
        raise MalformedStanza(f"byte {tag} begins no list")

    def node(self) -> Node:
        size = self.size(self.byte())
        tag = self.value()
        if size == 0 or not isinstance(tag, str) or not tag:
            raise MalformedStanza("a node without a tag")
        attrs: dict[str, str | Jid] = {}
        for _ in range((size - 1) // 2):
            key, value = self.value(), self.value()
            if not isinstance(key, str):
                raise MalformedStanza(f"an attribute of <{tag}> is named by no text")
            attrs[key] = value if isinstance(value, Jid) else _as_text(value)
        return Node(tag, attrs, self.content() if size % 2 == 0 else None)

    def content(self) -> bytes | str | tuple[Node, ...] | None:
        tag = self.data[self.at]
        if tag in (_LIST_EMPTY, _LIST_8, _LIST_16):
            self.at += 1
            return tuple(self.node() for _ in range(self.size(tag)))
        if tag in (_BINARY_8, _BINARY_20, _BINARY_32):
            self.at += 1
            return self.raw(self._length(tag))
        value = self.value()
        return str(value) if isinstance(value, Jid) else value

    def _length(self, tag: int) -> int:
        if tag == _BINARY_20:
            return int.from_bytes(self.raw(3)) & 0xFFFFF
        return int.from_bytes(self.raw(1 if tag == _BINARY_8 else 4))

    def value(self) -> str | Jid | None:
        tag = self.byte()
        if tag == _LIST_EMPTY:
            return None
        if tag in (_BINARY_8, _BINARY_20, _BINARY_32):
            return self.raw(self._length(tag)).decode()
        if _DICTIONARY_0 <= tag <= _DICTIONARY_3:
            return self.words.double[tag - _DICTIONARY_0][self.byte()]
        if tag == _JID_PAIR:
            user, server = self.value(), self.value()
            return Jid(_as_text(user), _as_text(server))
        if tag == _AD_JID:
            domain, device = self.byte(), self.byte()
            server = next((name for name, number in _DOMAINS.items() if number == domain), f"domain-{domain}")
            return Jid(_as_text(self.value()), server, device)
        if tag in (_NIBBLE_8, _HEX_8):
            return self._packed(_NIBBLES if tag == _NIBBLE_8 else _HEXES)
        if tag < len(self.words.single):
            return self.words.single[tag]
        raise MalformedStanza(f"unknown byte {tag} at {self.at - 1}")

    def _packed(self, alphabet: str) -> str:
        start = self.byte()
        values = [half for pair in self.raw(start & 127) for half in (pair >> 4, pair & 15)]
        return "".join(alphabet[value] for value in (values[:-1] if start >> 7 else values))


def _as_text(value: str | Jid | None) -> str:
    return "" if value is None else str(value)
