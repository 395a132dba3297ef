from django.urls import path

from accounts.pages import passwords, profile, registration, sessions

urlpatterns = [
    path("account", profile.ProfilePage.as_view(), name="account-page"),
    path("account/", profile.to_profile),
    path("account/signup", registration.SignUpPage.as_view(), name="sign-up-page"),
    path("account/verify", registration.VerifyPage.as_view(), name="verify-page"),
    path("account/verify/resend", registration.ResendPage.as_view(), name="resend-page"),
    path("account/login", sessions.LogInPage.as_view(), name="log-in-page"),
    path("account/logout", sessions.LogOutPage.as_view(), name="log-out-page"),
    path("account/forgot", passwords.ForgotPage.as_view(), name="forgot-page"),
    path("account/reset", passwords.ResetPage.as_view(), name="reset-page"),
    path("account/password", passwords.PasswordPage.as_view(), name="password-page"),
    path("account/email", profile.EmailPage.as_view(), name="email-page"),
    path("account/email/confirm", profile.ConfirmEmailPage.as_view(), name="confirm-email-page"),
    path("account/devices", sessions.DevicesPage.as_view(), name="devices-page"),
    path("account/close", profile.ClosePage.as_view(), name="close-page"),
]
