"""What kubectl needs to reach the API over TCP: a token, a CA, a certificate, and the kubeconfig that holds them.

Kept in `{data_dir}/api`; made when missing, the certificate renewed long before it ends.
"""

import base64
import ipaddress
import json
import secrets
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tako.adapters.files import replace_file

_CA_DAYS = 3650
_SERVER_DAYS = 365
_RENEW_DAYS = 60
_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The token and where the certificate files are."""

    token: str
    ca_pem: str
    certificate: Path
    key: Path

    def tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def load_credentials(directory: Path, now: datetime | None = None) -> Credentials:
    """Read the credentials, making what is missing, unreadable or about to end."""
    now = now or datetime.now(UTC)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    token_path, ca_path = directory / "token", directory / "ca.pem"
    certificate, key = directory / "server.pem", directory / "server.key"
    if not token_path.exists() or not token_path.read_text().strip():
        replace_file(token_path, secrets.token_urlsafe(32).encode(), durable=True)
    if not (ca_path.exists() and key.exists() and _is_good(certificate, now)):
        _issue(ca_path, certificate, key, now)
    return Credentials(token_path.read_text().strip(), ca_path.read_text(), certificate, key)


def kubeconfig(server_url: str, ca_pem: str, token: str, namespace: str = "production") -> str:
    """Return a kubeconfig, as the JSON that is also YAML."""
    authority = base64.b64encode(ca_pem.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "tako", "cluster": {"server": server_url, "certificate-authority-data": authority}},
        ],
        "users": [{"name": "tako", "user": {"token": token}}],
        "contexts": [{"name": "tako", "context": {"cluster": "tako", "user": "tako", "namespace": namespace}}],
        "current-context": "tako",
        "preferences": {},
    }
    return json.dumps(document, indent=2) + "\n"


def _is_good(certificate: Path, now: datetime) -> bool:
    try:
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):
        return False
    # A clock that jumped back must not leave clients with a certificate that is not valid yet.
    return parsed.not_valid_before_utc <= now <= parsed.not_valid_after_utc - timedelta(days=_RENEW_DAYS)


def _issue(ca_path: Path, certificate: Path, key: Path, now: datetime) -> None:
    """Make a CA, one certificate, and forget the CA's key: nothing else will ever be signed by it."""
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tako-api-ca")])
    ca = _builder(ca_name, ca_name, ca_key.public_key(), now, _CA_DAYS)
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    ca = ca.add_extension(_usage(key_cert_sign=True), critical=True)
    ca = ca.add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tako-api")])
    server = _builder(name, ca_name, server_key.public_key(), now, _SERVER_DAYS)
    server = server.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    server = server.add_extension(_usage(key_cert_sign=False), critical=True)
    server = server.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    server = server.add_extension(
        x509.SubjectAlternativeName(_alternative_names((*_NAMES, socket.gethostname()))), False
    )
    server = server.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
    )
    replace_file(key, _private_pem(server_key), durable=True)
    replace_file(
        certificate, server.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), durable=True
    )
    replace_file(ca_path, ca.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), durable=True)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not key_cert_sign,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
