"""Certificates and keys as a signer of finished ads has them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def write_signer(folder: Path, key: Key | None = None) -> tuple[Path, Path]:
    """Write a certificate with that of its issuer, and its key; return both paths."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), key or ec.generate_private_key(ec.SECP256R1())
    issuer, subject = _name("issuer"), _name("signer")
    root = _certificate(issuer, root_key, issuer, root_key, is_issuer=True)
    leaf = _certificate(subject, key, issuer, root_key, is_issuer=False)
    pem = serialization.Encoding.PEM
    certificates, private = folder / "signer.pem", folder / "signer.key"
    certificates.write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
    private.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return certificates, private


def _name(text: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, text), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests")]
    )


def _certificate(
    subject: x509.Name, key: Key, issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey, *, is_issuer: bool
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=is_issuer,
                crl_sign=is_issuer,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if not is_issuer:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
