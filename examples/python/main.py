"""Sign up, verify, log in, see oneself, and ask for a permission: with a client generated from the OpenAPI schema.

Usage: main.py URL EMAIL PASSWORD
"""

import sys

from muster_client import AuthenticatedClient, Client
from muster_client.api.auth import auth_login_create, auth_signup_create, auth_verify_create
from muster_client.api.permissions import permissions_check_create
from muster_client.api.users import users_me_retrieve
from muster_client.models import (
    CheckedPermissions,
    CheckPermissionsRequest,
    LogInRequest,
    Problem,
    SignedIn,
    SignUpRequest,
    User,
    VerifyRequest,
    Waiting,
)

url, email, password = sys.argv[1:]
stranger = Client(url)

signed_up = auth_signup_create.sync(client=stranger, body=SignUpRequest(email=email, password=password))
assert isinstance(signed_up, Waiting), signed_up

while True:
    code = input("Code from the mail: ")
    verified = auth_verify_create.sync(client=stranger, body=VerifyRequest(email=email, code=code))
    if not isinstance(verified, Problem):
        break
    print(f"{verified.code}: {verified.detail}")  # `code` is for programs, `detail` for people

pair = auth_login_create.sync(client=stranger, body=LogInRequest(email=email, password=password))
assert isinstance(pair, SignedIn), pair

me = AuthenticatedClient(url, token=pair.access)
user = users_me_retrieve.sync(client=me)
assert isinstance(user, User), user
print(f"Signed in as {user.email}, roles: {', '.join(role.name for role in user.roles)}")

checked = permissions_check_create.sync(client=me, body=CheckPermissionsRequest(checks=["user:read"]))
assert isinstance(checked, CheckedPermissions), checked
for result in checked.results:
    print(f"{result.permission}: {'allowed' if result.allowed else 'not allowed'}")
