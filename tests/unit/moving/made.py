"""A Baileys session made by hand: every key fits, every signature holds. The records are those of libsignal-node."""

import copy
import json
from base64 import b64encode
from hashlib import sha512

from emulator.wire.keys import KeyPair

NUMBER, DEVICE, LID_USER = "79001230001", 7, "270000000000001"
CONTACT = "280000000000009"


def buffer(value):
    return {"type": "Buffer", "data": b64encode(value).decode()}


def b64(value):
    return b64encode(value).decode()


def private_of(pair):
    return sha512(pair.seed).digest()[:32]


def pair_json(pair):
    return {"private": buffer(private_of(pair)), "public": buffer(pair.public)}


def typed(public):
    return b"\x05" + public


class Made:
    """The session's keys, and its creds and keys as Baileys has them in JSON."""

    def __init__(self, seed=1):
        pairs = [KeyPair(bytes([seed, index]) * 16) for index in range(8)]
        self.noise, self.identity, self.signed, self.phone, self.ratchet, self.theirs, self.contact, self.base = pairs
        details = b"\x08\x2a\x10\x80\xea\xdd\xc9\x06\x18\x03"  # rawId 42, timestamp, keyIndex 3
        account = self.phone.sign(b"\x06\x00" + details + self.identity.public)
        own = self.identity.sign(b"\x06\x01" + details + self.identity.public + self.phone.public)
        self.creds = {
            "me": {"id": f"{NUMBER}:{DEVICE}@s.whatsapp.net", "lid": f"{LID_USER}:{DEVICE}@lid", "name": "Salon"},
            "registrationId": 12345,
            "noiseKey": pair_json(self.noise),
            "signedIdentityKey": pair_json(self.identity),
            "signedPreKey": {
                "keyPair": pair_json(self.signed),
                "signature": buffer(self.identity.sign(typed(self.signed.public))),
                "keyId": 1,
            },
            "advSecretKey": b64(bytes(32)),
            "account": {
                "details": b64(details),
                "accountSignature": b64(account),
                "accountSignatureKey": b64(self.phone.public),
                "deviceSignature": b64(own),
            },
            "signalIdentities": [{"identifier": {}, "identifierKey": buffer(typed(self.phone.public))}],
            "platform": "android",
            "nextPreKeyId": 31,
            "firstUnuploadedPreKeyId": 31,
        }
        self.keys = {
            "pre-key": {str(n): pair_json(KeyPair(bytes([seed, n]) * 16)) for n in (28, 29)},
            "session": {f"{CONTACT}_1.0": self.session()},
            "sender-key": {f"120363000000000001@g.us--{CONTACT}_1--0": self.sender_key()},
            "lid-mapping": {"79110000009": CONTACT, f"{CONTACT}_reverse": "79110000009"},
            "app-state-sync-key": {
                b64(b"\0\0\1"): {
                    "keyData": b64(b"k" * 32),
                    "timestamp": "1764400000",
                    "fingerprint": {"rawId": 300, "currentIndex": 1, "deviceIndexes": [0, 1]},
                }
            },
            "tctoken": {f"{CONTACT}@lid": {"token": buffer(b"\0\1\2"), "timestamp": "1764400000"}},
        }

    def session(self):
        """One open session that sends and receives, with a skipped key and a closed chain, and one that was closed."""
        own, theirs, old = (b64(typed(one.public)) for one in (self.ratchet, self.theirs, self.noise))

        def entry(base, closed):
            return {
                "registrationId": 99,
                "currentRatchet": {
                    "ephemeralKeyPair": {"pubKey": own, "privKey": b64(private_of(self.ratchet))},
                    "lastRemoteEphemeralKey": theirs,
                    "previousCounter": 2,
                    "rootKey": b64(b"r" * 32),
                },
                "indexInfo": {
                    "baseKey": base,
                    "baseKeyType": 1,
                    "closed": closed,
                    "used": 5,
                    "created": 4,
                    "remoteIdentityKey": b64(typed(self.contact.public)),
                },
                "_chains": {
                    old: {"chainKey": {"counter": 3}, "chainType": 2, "messageKeys": {}},
                    theirs: {
                        "chainKey": {"counter": 6, "key": b64(b"t" * 32)},
                        "chainType": 2,
                        "messageKeys": {"4": b64(b"s" * 32)},
                    },
                    own: {"chainKey": {"counter": -1, "key": b64(b"o" * 32)}, "chainType": 1, "messageKeys": {}},
                },
                "pendingPreKey": {"signedKeyId": 8, "baseKey": base, "preKeyId": 5},
            }

        base, other = b64(typed(self.base.public)), b64(typed(self.contact.public))
        return {"_sessions": {other: entry(other, 1764400000), base: entry(base, -1)}, "version": "v1"}

    def sender_key(self):
        states = [
            {
                "senderKeyId": number,
                "senderChainKey": {"iteration": 3, "seed": buffer(b"g" * 32)},
                "senderSigningKey": {"public": buffer(typed(self.contact.public))},
                "senderMessageKeys": [{"iteration": 1, "seed": buffer(b"m" * 32)}],
            }
            for number in (1, 2)
        ]
        return buffer(json.dumps(states).encode())

    def write(self, folder):
        """As `useMultiFileAuthState` writes it."""
        folder.mkdir(parents=True)
        (folder / "creds.json").write_text(json.dumps(self.creds))
        for kind, values in self.keys.items():
            for name, value in values.items():
                file = f"{kind}-{name}.json".replace("/", "__").replace(":", "-")
                (folder / file).write_text(json.dumps(value))
        return folder

    def changed(self, change):
        """A copy whose creds `change` has spoilt."""
        other = copy.deepcopy(self)
        change(other.creds)
        return other
