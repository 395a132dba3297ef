"""django-cors-headers, which for most requests has nothing to say but `Vary`."""

from typing import Any

from corsheaders.middleware import CorsMiddleware
from django.utils.cache import patch_vary_headers


class CrossOriginMiddleware(CorsMiddleware):
    """Without an Origin there is nothing to allow, and no reason to read all headers into a dictionary."""

    def __call__(self, request: Any) -> Any:
        if "HTTP_ORIGIN" in request.META or request.method == "OPTIONS":
            return super().__call__(request)
        response = self.get_response(request)
        if self.is_enabled(request):
            patch_vary_headers(response, ["origin"])  # type: ignore[arg-type]
        return response
