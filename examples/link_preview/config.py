"""The settings of this function: `LINK_PREVIEW_PORTS=[80,443,8080]` and so on."""

from functools import cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Config(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LINK_PREVIEW_", frozen=True)

    ports: frozenset[int] = Field(frozenset({80, 443}), description="that links may name")
    internal_hosts: frozenset[str] = Field(
        frozenset(), description="names that may have addresses that are not public"
    )
    seconds: float = Field(4.0, gt=0, description="for one link, redirects included")
    retry_after: float = Field(5.0, gt=0, description="seconds until a failed fetch is repeated")
    patience: float = Field(60.0, ge=0, description="age in seconds beyond which it is not")


@cache
def config() -> Config:
    """This process's settings, read once."""
    return Config()
