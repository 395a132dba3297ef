from rbac.holdings import AnyUser, holdings

# What Django's admin asks for, and the permission of ours that answers. What is not here, nobody may.
# A change that would go around the services is refused by the admin classes themselves.
DJANGO_NAMES = {
    "accounts.view_user": "user:read",
    "accounts.add_user": "user:write",
    "accounts.change_user": "user:write",
    "accounts.delete_user": "user:delete",
    "accounts.view_session": "session:read",
    "accounts.delete_session": "session:revoke",
    "accounts.view_challenge": "user:read",
    "accounts.view_knownplace": "session:read",
    "accounts.view_failedlogins": "session:read",
    "accounts.view_counter": "session:read",
    "rbac.view_permission": "permission:read",
    "rbac.add_permission": "permission:write",
    "rbac.change_permission": "permission:write",
    "rbac.delete_permission": "permission:write",
    "rbac.view_role": "role:read",
    "rbac.add_role": "role:write",
    "rbac.change_role": "role:write",
    "rbac.delete_role": "role:write",
    "rbac.view_rolegrant": "role:read",
    "rbac.add_rolegrant": "role:assign",
    "rbac.change_rolegrant": "role:assign",
    "rbac.delete_rolegrant": "role:assign",
    "audit.view_event": "audit:read",
    "mail.view_outgoingmail": "user:read",
    "token_blacklist.view_outstandingtoken": "session:read",
    "token_blacklist.view_blacklistedtoken": "session:read",
}


class RoleBackend:
    """Answers `has_perm` everywhere, from roles; logs nobody in.

    Not a `BaseBackend`: its module needs the user model, which itself asks this backend.
    """

    def authenticate(self, request: object, **credentials: object) -> None:
        return None

    def get_user(self, user_id: object) -> None:
        return None

    def has_perm(self, user_obj: AnyUser, perm: str, obj: object = None) -> bool:
        """`perm` is ours ("user:read") or one of the names of Django's admin. Roles count for every `obj`."""
        return DJANGO_NAMES.get(perm, perm) in holdings(user_obj).permissions

    def has_module_perms(self, user_obj: AnyUser, app_label: str) -> bool:
        return any(name.startswith(f"{app_label}.") and self.has_perm(user_obj, name) for name in DJANGO_NAMES)
