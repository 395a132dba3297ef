from typing import Any

from rest_framework import serializers


class KeySerializer(serializers.Serializer[Any]):
    """A public key as JWK (RFC 7517, RFC 7518, RFC 8037)."""

    kid = serializers.CharField()
    kty = serializers.ChoiceField(["OKP", "RSA"])
    use = serializers.ChoiceField(["sig"])
    alg = serializers.ChoiceField(["EdDSA", "RS256"])
    crv = serializers.CharField(required=False, help_text="Ed25519, with EdDSA.")
    x = serializers.CharField(required=False, help_text="With EdDSA.")
    n = serializers.CharField(required=False, help_text="With RS256.")
    e = serializers.CharField(required=False, help_text="With RS256.")


class KeySetSerializer(serializers.Serializer[Any]):
    keys = KeySerializer(many=True)
