"""What the methods of people return."""

from pydantic import with_config
from typing_extensions import TypedDict

from shared.shapes import EXACT, User


@with_config(EXACT)
class Users(TypedDict):
    users: list[User]
