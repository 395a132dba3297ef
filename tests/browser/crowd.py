"""100,000 people, and two who answer their questions. Runs inside of the site: `manage.py shell -c`."""

from django.contrib.auth.hashers import make_password

from accounts.models import User
from rbac.models import Permission, Role, RoleGrant

HOW_MANY = 100_000
STAFF = {"en": "support@example.org", "ru": "podderzhka@example.org"}
ZOYA = "zoya@example.org"
FIRST, LAST = ("Ann", "Bo", "Cy", "Dee", "Eli", "Fay", "Gus"), ("Lee", "Ortiz", "Kim", "Novak", "Silva", "Okafor")
HELD = (
    *("user:read", "user:write", "user:delete", "session:read", "session:revoke"),
    *("role:read", "role:assign", "audit:read"),
)


def person(email: str, first: str, last: str, **rest: object) -> User:
    search_text = f"{email}\n\n{first}\n\n{last}".casefold()
    names = {"first_name": first, "last_name": last, "search_text": search_text}
    return User(email=email, email_key=email, is_verified=True, **names, **{"password": "!", **rest})


def settle(password: str) -> None:
    encoded = make_password(password)
    crowd = [
        person(f"p{n}@example.org", FIRST[n % len(FIRST)], f"{LAST[n % len(LAST)]}-{n}") for n in range(HOW_MANY - 3)
    ]
    User.objects.bulk_create(crowd, batch_size=5000)
    staff = [
        person(email, "Sam", "Porter", language=language, is_staff=True, password=encoded)
        for language, email in STAFF.items()
    ]
    User.objects.bulk_create([*staff, person(ZOYA, "Zoya", "Odintsova-Kim", password=encoded)])
    support = Role.objects.create(name="support", description="Answers questions")
    support.permissions.set([p for p in Permission.objects.all() if p.name in HELD])
    RoleGrant.objects.bulk_create([RoleGrant(user=user, role=support) for user in staff])
    Role.objects.create(name="editor").permissions.set(Permission.objects.filter(resource="user", action="read"))
    refund = Permission.objects.create(resource="order", action="refund")
    Role.objects.create(name="accountant").permissions.set([refund])
