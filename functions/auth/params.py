"""What the methods of signing in take."""

from pydantic import Field

from shared.names import TYPED_LIMIT, DisplayName, Password, Username
from shared.params import Params


class Register(Params):
    username: Username
    password: Password
    name: DisplayName | None = None
    invite: str | None = Field(None, max_length=100)


class Login(Params):
    """Whatever is typed here: what nobody can have is answered as what nobody has."""

    username: str = Field(max_length=TYPED_LIMIT)
    password: str = Field(max_length=TYPED_LIMIT)


class Refresh(Params):
    refresh_token: str = Field(max_length=2000)


class Check(Params):
    """What the caller's access token says of itself; `issued` is in UTC seconds."""

    generation: int = Field(ge=1)
    issued: int = Field(ge=0)
