"""Curve25519 as Signal writes it: forms of a key, and signatures (XEdDSA) checked.

A public key is 33 bytes with the type byte 05 inside sessions and signatures, and 32 bytes without it elsewhere. A private
key is 32 bytes; some clients store it before the curve clamps it.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_TYPE = 5
_PRIME = 2**255 - 19


def typed(public: bytes) -> bytes:
    """The 33-byte form of a public key."""
    return public if len(public) == 33 else bytes([KEY_TYPE]) + public


def untyped(public: bytes) -> bytes:
    """The 32-byte form of a public key. Raises ValueError for anything else."""
    if len(public) == 33 and public[0] == KEY_TYPE:
        return public[1:]
    if len(public) == 32:
        return public
    raise ValueError(f"a public key has {len(public)} bytes")


def clamped(private: bytes) -> bytes:
    """A private key as whatsmeow stores it. Its public key is the same. Raises ValueError for another length."""
    if len(private) != 32:
        raise ValueError(f"a private key has {len(private)} bytes")
    return bytes([private[0] & 248]) + private[1:31] + bytes([private[31] & 127 | 64])


def public_of(private: bytes) -> bytes:
    """The public key (32 bytes) of a private one. Raises ValueError for another length."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """True if `signature` (64 bytes, XEdDSA) over `message` is by the owner of `public` (32 bytes).

    The Edwards form of the key is computed from the Montgomery one; its sign travels in the signature's highest bit.
    """
    if len(public) != 32 or len(signature) != 64:
        return False
    u = int.from_bytes(public, "little") & (2**255 - 1)
    try:
        y = bytearray(((u - 1) * pow(u + 1, -1, _PRIME) % _PRIME).to_bytes(32, "little"))
        y[31] |= signature[63] & 0x80
        key = Ed25519PublicKey.from_public_bytes(bytes(y))
        key.verify(signature[:63] + bytes([signature[63] & 127]), message)
    except (InvalidSignature, ValueError):  # also for the one key that has no Edwards form
        return False
    return True


def derive(secret: bytes, length: int, info: bytes) -> bytes:
    """`length` bytes of HKDF-SHA256 without a salt."""
    return HKDF(SHA256(), length, None, info).derive(secret)
