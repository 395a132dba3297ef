from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from accounts.apps import load_panel
from accounts.views.keys import KeySetView
from config import health, views
from config.metrics import metrics

load_panel()
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.index, name="index"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("api/v1/", include("accounts.urls")),
    path("api/v1/", include("rbac.urls")),
    path("api/v1/", include("audit.urls")),
    path(".well-known/jwks.json", KeySetView.as_view(), name="key-set"),
    path("", include("accounts.pages.urls")),
    path("admin", views.to_panel),
    path("admin/", admin.site.urls),
]
if settings.DOCS:
    urlpatterns += [
        path("api/schema", views.SchemaView.as_view(), name="schema"),
        path("api/docs", views.DocsView.as_view(url_name="schema"), name="docs"),
        path("api/redoc", views.RedocView.as_view(url_name="schema"), name="redoc"),
        path("api/redoc.js", views.redoc_script, name="redoc-script"),
        path("docs", views.to_docs),
        path("redoc", views.to_redoc),
    ]
# Not Django's own 404, which with DEBUG is a page about our URLs.
urlpatterns.append(re_path(r"", views.not_found))

handler400 = "config.views.bad_request"
handler403 = "config.views.forbidden"
handler404 = "config.views.not_found"
handler500 = "config.views.server_error"
