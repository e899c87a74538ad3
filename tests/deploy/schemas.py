"""What the API server of a cluster says of a manifest: the schemas of Kubernetes, and of KEDA's custom resources.

Both strictly, as ``kubectl apply`` asks for: a field that is not known is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
from cloudcoil.models.keda import v1alpha1 as keda

KUBERNETES = ("1.30", "1.37")
"""The oldest and the newest version that manifests are held against."""

KAFKA_PARAMETERS = frozenset(
    {
        "activationLagThreshold",
        "allowIdleConsumers",
        "bootstrapServers",
        "bootstrapServersFromEnv",
        "consumerGroup",
        "consumerGroupFromEnv",
        "excludePersistentLag",
        "lagThreshold",
        "limitToPartitionsWithLag",
        "offsetResetPolicy",
        "partitionLimitation",
        "sasl",
        "saslTokenType",
        "scaleToZeroOnInvalidOffset",
        "tls",
        "topic",
        "topicFromEnv",
        "unsafeSsl",
        "version",
    }
)
"""What KEDA's documentation of its Kafka scaler names. To KEDA's schema it is any text."""


def refusal(document: dict[str, Any]) -> str | None:
    """Return why a manifest is refused, or None where it is taken."""
    try:
        if document["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(document, _strict(_keda(document["kind"])))
            _check_triggers(document)
        else:
            for version in KUBERNETES:
                kubernetes_validate.validate(document, version, strict=True)
    except jsonschema.ValidationError as trouble:
        return f"{trouble.json_path}: {trouble.message}"
    return None


def _keda(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = getattr(keda, kind).model_json_schema(by_alias=True)
    return schema


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Close every object whose fields are listed."""
    for part in _parts(schema):
        if "properties" in part:
            part.setdefault("additionalProperties", False)
    return schema


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        # A field may be called `properties`; a schema's are a mapping of schemas.
        if isinstance(value.get("properties", {}), dict):
            yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)


def _check_triggers(document: dict[str, Any]) -> None:
    for trigger in document["spec"].get("triggers", ()):
        if trigger["type"] == "kafka" and (odd := set(trigger["metadata"]) - KAFKA_PARAMETERS):
            raise jsonschema.ValidationError(f"the Kafka scaler has no {sorted(odd)}")
