"""Private keys and certificates in PEM, by `cryptography`. Decides nothing about names, times or files."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A common name is at most 64 characters long (RFC 5280); clients read the subject alternative names only.
MAX_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the first certificate of a chain says. Times are in UTC; the fingerprint is SHA-256, hexadecimal."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str


def generate_key() -> bytes:
    """Return a new ECDSA P-256 key, PKCS #8."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def sign_itself(key: bytes, names: Sequence[str], not_before: datetime, not_after: datetime) -> bytes:
    """Return a certificate for a server with these host names or addresses, signed by its own key.

    It is no CA: who trusts it trusts these names and nothing else.
    """
    private = _load_key(key)
    public = private.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:MAX_COMMON_NAME])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def read_leaf(chain: bytes, key: bytes) -> Leaf:
    """Read the first certificate of a chain; `ValueError` when it cannot be read or is not for this key."""
    certificate = x509.load_pem_x509_certificate(chain)
    if certificate.public_key() != _load_key(key).public_key():
        raise ValueError("the private key does not belong to the certificate")
    return Leaf(
        names=_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def is_usable_key(key: bytes) -> bool:
    """Tell whether this is a private key that :func:`sign_itself` can use."""
    try:
        _load_key(key)
    except ValueError:
        return False
    return True


def _load_key(key: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except TypeError as error:
        # Raised for a key under a pass phrase, which we never write.
        raise ValueError("the private key is encrypted or damaged") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError("the private key is not an elliptic-curve key")
    return private


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*found.get_values_for_type(x509.DNSName), *(str(address) for address in addresses))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
