"""A properties file of Kafka's tools, translated for Python's client."""

from __future__ import annotations

from pathlib import Path

import pytest
from brokerlab import clientproperties
from brokerlab.errors import SettingError

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@pytest.fixture
def read(tmp_path: Path):
    def one(text: str, mode: int = 0o600) -> clientproperties.ClientProperties:
        file = tmp_path / "client.properties"
        file.write_text(text, "utf-8")
        file.chmod(mode)
        return clientproperties.read(file)

    return one


def test_a_login_by_password(read):
    found = read(
        "# the class's\n"
        "security.protocol = SASL_SSL\n"
        "sasl.mechanism: PLAIN\n"
        f'sasl.jaas.config={PLAIN} required username="anna" \\\n'
        "   password='it is \"secret\"; = all of it';\n"
    )
    assert dict(found.settings) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "anna",
        "sasl.password": 'it is "secret"; = all of it',
    }
    assert (found.user, found.remarks) == ("anna", ())
    assert "secret" not in repr(found).replace("(secret)", "")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("client.id=a b ", "client.id", "a b"),
        ("  client.id   a", "client.id", "a"),
        ("client.id:a=b", "client.id", "a=b"),
        ("client\\.id=\\u00e4\\\\", "client.id", "ä\\"),
        ("client.id=a\\\n     b", "client.id", "ab"),
        ("client.id=", "client.id", ""),
        ("ssl.endpoint.identification.algorithm=", "ssl.endpoint.identification.algorithm", "none"),
        ("! client.id=a\nclient.id=b", "client.id", "b"),
    ],
)
def test_lines_are_read_as_java_reads_them(read, line, name, value):
    assert read(line).settings == {name: value}


def test_tls_with_pem_files(read, tmp_path):
    pem = tmp_path / "ca.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    found = read(
        "security.protocol=SSL\n"
        f"ssl.truststore.type=PEM\nssl.truststore.location={pem}\n"
        f"ssl.keystore.type=PEM\nssl.keystore.location={pem}\nssl.key.password=k\n"
    )
    assert found.settings == {
        "security.protocol": "SSL",
        "ssl.ca.location": str(pem),
        "ssl.certificate.location": str(pem),
        "ssl.key.location": str(pem),
        "ssl.key.password": "k",
    }
    assert repr(found.settings["ssl.key.password"]) == "'(secret)'"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ssl.truststore.location=/ca.jks", ["ssl.truststore.location", "JKS", "PEM"]),
        ("ssl.keystore.location=/a.jks", ["ssl.keystore.location", "PKCS12"]),
        ("ssl.truststore.type=PEM\nssl.truststore.location=/nix", ["/nix cannot be read"]),
        ("sasl.mechanism=GSSAPI", ["sasl.mechanism", "GSSAPI", "SCRAM-SHA-512"]),
        (f"sasl.jaas.config={PLAIN} required user=x;", ["sasl.jaas.config", "username"]),
        ("sasl.jaas.config=com.sun.Krb5LoginModule required;", ["sasl.jaas.config"]),
        (
            "sasl.login.callback.handler.class=X\nssl.engine.factory.class=Y",
            ["sasl.login.callback.handler.class", "ssl.engine.factory.class"],
        ),
        ("ssl.keystore.key=-----BEGIN", ["ssl.keystore.key"]),
    ],
)
def test_what_cannot_be_translated_is_named_in_one_sentence(read, text, named):
    with pytest.raises(SettingError) as error:
        read(text)
    said = str(error.value)
    assert [word for word in named if word not in said] == []
    assert "\n" not in said and said.endswith("ask who runs the cluster.")


def test_what_a_client_sets_for_itself_is_left_out_and_said(read):
    (remark,) = read("acks=all\nsession.timeout.ms=45000").remarks
    assert "acks, session.timeout.ms is left out" in remark


def test_a_password_that_others_can_read_is_said(read):
    login = f'sasl.jaas.config={PLAIN} required username="a" password="b";'
    (remark,) = read(login, 0o644).remarks
    assert "chmod 600" in remark
    assert read("client.id=a", 0o644).remarks == ()


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00password"])
def test_a_file_that_cannot_be_read(tmp_path, content):
    file = tmp_path / "gone.properties"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingError, match=r"cannot be read .*: give the path of the file"):
        clientproperties.read(file)
