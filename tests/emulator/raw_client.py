"""A client of our own making that can do everything wrong: the other half of the handshake, over a socket in memory."""

import asyncio
import hashlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.server.connection import Connection
from emulator.wire import protobuf as wire
from emulator.wire.binary_xml import decode, encode
from emulator.wire.keys import KeyPair, hkdf
from emulator.wire.noise import PATTERN, PROLOGUE
from emulator.wire.websocket import WebsocketClosed


class MemorySocket:
    """Stands in for the websocket: what the server sends is in `sent`."""

    def __init__(self):
        self.closed = False
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue()

    def feed(self, data):
        self._incoming.put_nowait(data)

    def send(self, data):
        self.sent.put_nowait(data)

    async def receive(self):
        data = await self._incoming.get()
        if data is None:
            raise WebsocketClosed("the test is over")
        return data

    def close(self, code=1000):
        self.closed = True
        self._incoming.put_nowait(None)


def framed(data):
    return len(data).to_bytes(3) + data


class RawClient:
    """`identity` and `noise` are its keys; `greet` does the handshake, with any payload and prologue."""

    def __init__(self, world, tag="raw"):
        self.world = world
        self.identity, self.noise, self.prekey = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
        self.socket = MemorySocket()
        self.connection = Connection(world, self.socket, tag)
        self.task = asyncio.create_task(self.connection.run())
        self._sent = self._received = 0

    def registration(self, *, skey_signer=None, platform=14):
        signature = (skey_signer or self.identity).sign(b"\x05" + self.prekey.public)
        props = wire.write({1: "raw", 3: 1})
        pairing = {1: b"\0\0\0\1", 2: b"\5", 3: self.identity.public, 4: b"\0\0\1", 5: self.prekey.public, 6: signature}
        agent = wire.write({1: platform, 2: wire.write({1: 2, 2: 3000, 3: 1})})
        return wire.write({5: agent, 19: wire.write({**pairing, 7: bytes(16), 8: props})})

    @staticmethod
    def login(number, device):
        return wire.write({1: int(number), 5: wire.write({1: 14, 2: wire.write({1: 2})}), 18: device})

    async def greet(self, payload, *, prologue=PROLOGUE, spoil=False):
        hash_, salt = PATTERN, PATTERN
        ephemeral = KeyPair.generate()

        def mix(data):
            nonlocal hash_
            hash_ = hashlib.sha256(hash_ + data).digest()

        def mix_key(secret):
            nonlocal salt
            both = hkdf(secret, 64, salt=salt)
            salt = both[:32]
            return both[32:]

        mix(PROLOGUE)
        mix(ephemeral.public)
        self.socket.feed(prologue + framed(wire.write({2: wire.write({1: ephemeral.public})})))
        hello = wire.Message((await self.socket.sent.get())[3:]).message(3)
        mix(hello.data(1))
        key = mix_key(ephemeral.exchange(hello.data(1)))
        static = AESGCM(key).decrypt(bytes(12), hello.data(2), hash_)
        mix(hello.data(2))
        key = mix_key(ephemeral.exchange(static))
        AESGCM(key).decrypt(bytes(12), hello.data(3), hash_)
        mix(hello.data(3))
        own_static = AESGCM(key).encrypt((1).to_bytes(12), self.noise.public, hash_)
        mix(own_static)
        key = mix_key(self.noise.exchange(hello.data(1)))
        sealed = AESGCM(key).encrypt(bytes(12), payload, b"spoiled" if spoil else hash_)
        self.socket.feed(framed(wire.write({4: wire.write({1: own_static, 2: sealed})})))
        final = hkdf(b"", 64, salt=salt)
        self._write, self._read = AESGCM(final[:32]), AESGCM(final[32:])

    def send(self, node):
        sealed = self._write.encrypt(self._sent.to_bytes(12), encode(node, self.world.words), None)
        self._sent += 1
        self.socket.feed(framed(sealed))

    async def receive(self):
        async with asyncio.timeout(5):
            frame = await self.socket.sent.get()
        node = decode(self._read.decrypt(self._received.to_bytes(12), frame[3:], None), self.world.words)
        self._received += 1
        return node

    async def end(self):
        self.socket.close()
        await self.task
