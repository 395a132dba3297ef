"""The public halves of the keys, for services that verify tokens by themselves."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import keys
from accounts.serializers.keys import KeySetSerializer
from accounts.views.auth import PublicView

# A verifier asks again when it meets an unknown kid; a cache on the way must not keep the new key from it for long.
FRESH_SECONDS = 60


class KeySetView(PublicView):
    """A JWK set (RFC 7517): empty while tokens are signed with HS256. What one verifies by it may have ended."""

    @extend_schema(responses=KeySetSerializer, tags=["keys"], operation_id="keys_retrieve")
    def get(self, request: Request) -> Response:
        fresh = f"public, max-age={FRESH_SECONDS}"
        return Response({"keys": keys.published()}, headers={"Cache-Control": fresh})
