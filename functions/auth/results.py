"""What the methods of signing in return."""

from typing import Literal

from pydantic import with_config
from typing_extensions import TypedDict

from shared.shapes import EXACT


@with_config(EXACT)
class SignedIn(TypedDict):
    """Tokens of a device. `expires_in` is the seconds that the access token lives."""

    uid: str
    access_token: str
    refresh_token: str
    expires_in: int


@with_config(EXACT)
class Provider(TypedDict):
    """Another house that people may sign in with."""

    id: str
    name: str


@with_config(EXACT)
class Config(TypedDict):
    """How one may register and sign in. `password_min` is in characters."""

    registration: Literal["open", "invite", "closed"]
    sign_in: list[Literal["password"]]
    providers: list[Provider]
    password_min: int


@with_config(EXACT)
class Alive(TypedDict):
    """Whether the device is signed in."""

    alive: bool
