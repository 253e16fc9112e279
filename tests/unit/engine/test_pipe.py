"""A line that is not in the protocol is named by its place, and never repeated: it may hold a phone or a QR."""

import socket

import pytest

from workers.engine import protocol
from workers.engine.pipe import Pipe, WrongMessage

SECRET = "+79001234567"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (SECRET, "DecodeError at the top"),
        (f'["{SECRET}"]', "ValidationError at the top"),
        (f'{{"type":"{SECRET}"}}', "ValidationError at `$.type`"),
        (f'{{"type":"paired","jid":"j","lid":"l","{SECRET}":1}}', "ValidationError at the top"),
        (f'{{"type":"paired","jid":"{SECRET}"}}', "ValidationError at the top"),
        (f'{{"type":"qr","text":"t","number":"{SECRET}","born":1}}', "ValidationError at `$.number`"),
        (f'{{"type":"ended","reason":"r","refusal":"{SECRET}"}}', "ValidationError at `$.refusal`"),
        ('{"type":"word","word":"\\ud800"}', "DecodeError at the top"),
    ],
)
async def test_a_wrong_line_is_named_by_its_place_alone(line, said):
    ours, theirs = socket.socketpair()
    with theirs:
        pipe = await Pipe.open(ours, protocol.from_linker)
        theirs.sendall(line.encode() + b"\n")
        with pytest.raises(WrongMessage) as wrong:
            await pipe.receive()
        pipe.close()
    assert str(wrong.value) == said
