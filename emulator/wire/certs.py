"""The emulator's two authorities: one for TLS, one for the Noise certificate. Made once, kept in the state directory.

They must survive a restart: a client reads the TLS authority once, and the Noise root key is written into its memory.
"""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from emulator.files import write_private
from emulator.wire import protobuf as wire
from emulator.wire.keys import KeyPair

HOSTS = ("web.whatsapp.com", "*.web.whatsapp.com", "*.whatsapp.net", "*.whatsapp.com")
_LIFE = datetime.timedelta(days=825)
_ROOT_SERIAL, _INTERMEDIATE_SERIAL, _LEAF_SERIAL = 0, 1, 2


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("WhatsApp emulator (loopback only)"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _LIFE)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def tls_context(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server context for WhatsApp's hosts and the path of the authority that clients must trust (`ca.pem`)."""
    ca_path, ca_key_path, leaf_path = (directory / name for name in ("ca.pem", "ca-key.pem", "tls.pem"))
    if not leaf_path.exists():
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca = (
            _builder("WhatsApp emulator (loopback only)", ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(ca_key, SHA256())
        )
        write_private(ca_key_path, _pem(ca_key))
        write_private(ca_path, ca.public_bytes(Encoding.PEM))
        leaf_key = ec.generate_private_key(ec.SECP256R1())
        leaf = (
            _builder(HOSTS[0], leaf_key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(ca_key, SHA256())
        )
        write_private(leaf_path, _pem(leaf_key) + leaf.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf_path)
    return context, ca_path


@dataclass(frozen=True)
class NoiseAuthority:
    """Root, intermediate and the server's static key; `certificate` is what the server hello carries."""

    root: KeyPair
    intermediate: KeyPair
    static: KeyPair

    @staticmethod
    def generate() -> NoiseAuthority:
        return NoiseAuthority(KeyPair.generate(), KeyPair.generate(), KeyPair.generate())

    def certificate(self, signer: KeyPair | None = None) -> bytes:
        """A CertChain message (leaf 1, intermediate 2; details 1, signature 2) valid now; `signer` in place of the root spoils it."""
        now = datetime.datetime.now(datetime.UTC)
        dates = {4: int((now - datetime.timedelta(days=1)).timestamp()), 5: int((now + _LIFE).timestamp())}
        # Details: serial 1, issuerSerial 2, key 3, notBefore 4, notAfter 5
        middle = wire.write({1: _INTERMEDIATE_SERIAL, 2: _ROOT_SERIAL, 3: self.intermediate.public, **dates})
        leaf = wire.write({1: _LEAF_SERIAL, 2: _INTERMEDIATE_SERIAL, 3: self.static.public, **dates})
        return wire.write(
            {
                1: wire.write({1: leaf, 2: self.intermediate.sign(leaf)}),
                2: wire.write({1: middle, 2: (signer or self.root).sign(middle)}),
            }
        )
