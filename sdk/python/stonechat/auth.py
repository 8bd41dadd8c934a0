"""How one may sign in, as the house says."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from stonechat import shape


@dataclass(frozen=True, slots=True)
class Provider:
    """Another house that people may sign in with."""

    id: str
    name: str

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class SignInConfig:
    """How one may register and sign in. `password_min` is characters of a new password."""

    registration: Literal["open", "invite", "closed"] = "open"
    sign_in: tuple[str, ...] = ()
    providers: tuple[Provider, ...] = ()
    password_min: int = 8

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)
