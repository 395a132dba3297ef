"""fastapi-users with its SQLAlchemy adapter and JWT, as documented, on uvicorn. It has no refresh."""

import os
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users.password import PasswordHelper
from pwdlib import PasswordHash
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SECRET = "only-for-measuring-" * 4
engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgres://", "postgresql+asyncpg://"))
new_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    __tablename__ = "fastapi_users"


class UserManager(UUIDIDMixin, BaseUserManager[User, UUID]):
    reset_password_token_secret = verification_token_secret = SECRET


async def user_database() -> AsyncIterator[Any]:
    async with new_session() as session:
        yield SQLAlchemyUserDatabase(session, User)


async def user_manager(database: Annotated[Any, Depends(user_database)]) -> AsyncIterator[UserManager]:
    yield UserManager(database, PasswordHelper(PasswordHash((BcryptHasher(rounds=12),))))


def strategy() -> JWTStrategy[User, UUID]:
    return JWTStrategy(secret=SECRET, lifetime_seconds=3600)


class Shown(schemas.BaseUser[UUID]):
    pass


class SignUp(schemas.BaseUserCreate):
    pass


backend = AuthenticationBackend("jwt", BearerTransport("auth/jwt/login"), strategy)
users = FastAPIUsers[User, UUID](user_manager, [backend])
app = FastAPI()
app.include_router(users.get_auth_router(backend), prefix="/auth/jwt")
app.include_router(users.get_register_router(Shown, SignUp), prefix="/auth")
app.include_router(users.get_users_router(Shown, schemas.BaseUserUpdate), prefix="/users")
