from django.urls import path
from rest_framework.routers import SimpleRouter

from accounts import schema  # noqa: F401 - tells drf-spectacular how we authenticate
from accounts.views import auth, myself, token
from accounts.views.users import SessionViewSet, UserViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("users", UserViewSet, basename="user")

urlpatterns = [
    path("auth/signup", auth.SignUpView.as_view(), name="sign-up"),
    path("auth/verify", auth.VerifyView.as_view(), name="verify"),
    path("auth/verify/resend", auth.ResendView.as_view(), name="verify-resend"),
    path("auth/csrf", auth.CsrfView.as_view(), name="csrf"),
    path("auth/login", auth.LogInView.as_view(), name="log-in"),
    path("auth/refresh", auth.RefreshView.as_view(), name="refresh"),
    path("auth/logout", auth.LogOutView.as_view(), name="log-out"),
    path("auth/logout/all", auth.LogOutEverywhereView.as_view(), name="log-out-everywhere"),
    path("auth/token", token.TokenView.as_view(), name="token"),
    path("auth/password/forgot", auth.ForgotView.as_view(), name="password-forgot"),
    path("auth/password/reset", auth.ResetView.as_view(), name="password-reset"),
    path("users/me", myself.MyselfView.as_view(), name="myself"),
    path("users/me/password", myself.MyPasswordView.as_view(), name="my-password"),
    path("users/me/email", myself.MyEmailView.as_view(), name="my-email"),
    path("users/me/email/confirm", myself.ConfirmEmailView.as_view(), name="my-email-confirm"),
    path("users/me/sessions", myself.MySessionsView.as_view(), name="my-sessions"),
    path("users/me/sessions/<uuid:session_id>", myself.MySessionView.as_view(), name="my-session"),
    path("sessions", SessionViewSet.as_view({"get": "list", "delete": "destroy_all"}), name="session-list"),
    path("sessions/<uuid:pk>", SessionViewSet.as_view({"delete": "destroy"}), name="session-detail"),
    *router.urls,
]
