"""What every installation has: the permissions of this service and the two system roles."""

PERMISSIONS = {
    "user:read": "See every user",
    "user:write": "Create, change and invite users",
    "user:delete": "Deactivate and restore users",
    "user:import": "Take over users from a file",
    "user:export": "Export users to a file",
    "user:export_hashes": "Export users with the hashes of their passwords",
    "session:read": "See everyone's sessions",
    "session:revoke": "End anyone's session",
    "role:read": "See roles, and who has them",
    "role:write": "Create, change and delete roles",
    "role:assign": "Give roles to users and withdraw them",
    "permission:read": "See all permissions",
    "permission:write": "Create and delete permissions",
    "audit:read": "See who did what",
}

ADMIN = "admin"  # holds every permission there is, also those made later: computed, never stored
USER = "user"  # given to everyone who signs up

SYSTEM_ROLES = {ADMIN: "Holds every permission", USER: "Given to everyone at sign-up"}
