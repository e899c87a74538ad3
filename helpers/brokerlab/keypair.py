"""A key and the certificate that it signs for itself: how a lab's controllers and brokers know each other by TLS.

Java makes it, with its own keytool: no other program is needed, and no arithmetic of ours is trusted. Java keeps a key
in a file that only Java reads, so it is taken out of there, into the format (PEM) that Kafka and Python read as well.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import ssl
import struct
import subprocess
import tempfile
from base64 import encodebytes
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from brokerlab.distribution import FLAGS, JAVA, java_environment
from brokerlab.errors import NodeFailedError

DAYS = 3650
SECONDS = 60
# No secret: the file is its owner's alone, and gone as soon as the key has been taken out of it.
_WORD = "nothing"
_DIGEST = 20


def make(scratch: Path, address: str) -> str:
    """Return a new key for the curve P-256, and its certificate, as PEM.

    Parameters
    ----------
    scratch : path
        A folder of its owner alone.
    address : str
        The one IP address that the certificate is good for.

    Raises
    ------
    NodeFailedError
        Java did not make one.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        store = Path(folder) / "key.jks"
        usage = "ku:critical=digitalSignature,keyCertSign"
        wanted = ["-alias", "lab", "-dname", "CN=lab", "-validity", str(DAYS)]
        wanted += ["-keyalg", "EC", "-groupname", "secp256r1", "-sigalg", "SHA256withECDSA"]
        wanted += ["-ext", "bc:critical=ca:true", "-ext", usage, "-ext", f"san=ip:{address}"]
        wanted += ["-storetype", "JKS", "-storepass", _WORD, "-keypass", _WORD]
        keytool = [str(JAVA), *FLAGS, "-m", "java.base/sun.security.tools.keytool.Main"]
        command = [*keytool, "-genkeypair", "-keystore", str(store), *wanted]
        try:
            subprocess.run(
                command, env=java_environment(), capture_output=True, timeout=SECONDS, check=True
            )
            return _as_pem(store.read_bytes())
        except (OSError, subprocess.SubprocessError, ValueError, struct.error) as error:
            raise NodeFailedError(
                f"Java made no key for the controllers ({error!r}): run `brokerlab doctor`, then start again."
            ) from None


def _as_pem(store: bytes) -> str:
    """Read the one entry of a key store in Java's old format (JKS): a key, then its certificate."""
    data = io.BytesIO(store)
    magic, version, entries = struct.unpack(">III", data.read(12))
    if (magic, version, entries) != (0xFEEDFEED, 2, 1):
        raise ValueError("no key store of one entry")
    data.read(4)
    _block(data, ">H")
    data.read(8)
    key = _unprotected(_block(data, ">I"))
    data.read(4)
    _block(data, ">H")
    certificate = ssl.DER_cert_to_PEM_cert(_block(data, ">I"))
    text = encodebytes(key).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}-----END PRIVATE KEY-----\n{certificate}"


def _block(data: IO[bytes], layout: str) -> bytes:
    (length,) = struct.unpack(layout, data.read(struct.calcsize(layout)))
    return data.read(length)


def _unprotected(info: bytes) -> bytes:
    """Undo how this format hides a key: salt, the key mixed with a chain of digests, and a digest to check it by."""
    inside, _ = _der(info)
    _, after_algorithm = _der(inside)
    hidden, _ = _der(after_algorithm)
    salt, mixed, check = hidden[:_DIGEST], hidden[_DIGEST:-_DIGEST], hidden[-_DIGEST:]
    word = _WORD.encode("utf-16-be")
    stream = itertools.chain.from_iterable(_digests(word, salt))
    key = bytes(one ^ other for one, other in zip(mixed, stream, strict=False))
    if _sha1(word + key) != check:
        raise ValueError("the key is not what was stored")
    return key


def _digests(word: bytes, salt: bytes) -> Iterator[bytes]:
    while True:
        salt = _sha1(word + salt)
        yield salt


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _der(data: bytes) -> tuple[bytes, bytes]:
    """Return what is in the first value of `data`, and what comes after that value (X.690)."""
    begin, length = 2, data[1]
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(data[2:begin], "big")
    return data[begin : begin + length], data[begin + length :]
