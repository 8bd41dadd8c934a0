"""Every setting of every part, in one model.

Values come from the environment (`STONECHAT_REDIS_URL=…`), then from the file that
`STONECHAT_ENV_FILE` names, then from the defaults here. Secrets are not settings: they are files
(see `secretfiles`). What is wrong with them is told all at once (see `startup`). The page
docs/settings.md is made from here: the comment above a group is its heading.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.setting_types import (
    MOST,
    BucketName,
    DatabaseName,
    ExistingFile,
    FunctionName,
    Host,
    HttpUrl,
    LogLevel,
    MongoUrl,
    Networks,
    RedisUrl,
)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="STONECHAT_", frozen=True, extra="ignore", allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _bounded(cls, value: Any) -> Any:
        if isinstance(value, int | float) and value > MOST:
            raise ValueError("is too large")
        return value

    # Where the other parts are.
    redis_url: RedisUrl = Field("redis://127.0.0.1:16379/0", description="Redis or Valkey")
    mongo_url: MongoUrl = Field("mongodb://127.0.0.1:27117/", description="MongoDB")
    mongo_database: DatabaseName = Field("stonechat", description="our database in MongoDB")
    s3_url: HttpUrl = Field("http://127.0.0.1:18333", description="the S3 store")
    s3_bucket: BucketName = Field("stonechat", description="our bucket in the S3 store")
    gateway_url: HttpUrl = Field(
        "http://127.0.0.1:8080", description="OpenFaaS' gateway, or what has its paths"
    )
    secrets_dir: Path = Field(
        Path("/var/openfaas/secrets"), description="the folder of secrets, a file each"
    )
    function: FunctionName = Field("", description="the name that a function is deployed under")
    store_timeout: float = Field(10.0, gt=0, description="seconds for one call to a store")
    log_level: LogLevel = Field("info", description="of the lines that are logged, the least")

    log_quotes: bool = Field(
        False,
        description="log the texts of exceptions, which may quote what people wrote: where a "
        "function is developed, never where people are",
    )

    # Readiness.
    ready_timeout: float = Field(
        1.0,
        gt=0,
        le=60,
        description="seconds in which a store answers who asks whether it is there",
    )
    ready_kept: float = Field(
        2.0, ge=0, le=60, description="seconds for which what is found out about readiness holds"
    )

    # Tokens and passwords.
    access_token_ttl: int = Field(900, gt=0, description="seconds that an access token is good")
    refresh_grace: float = Field(
        10.0, ge=0, description="seconds in which a spent refresh token is taken in any case"
    )
    session_days_idle: int = Field(30, gt=0, description="days a device stays signed in unused")
    session_days_absolute: int = Field(180, gt=0, description="days a device stays signed in")
    password_min: int = Field(8, ge=8, le=128, description="characters of a new password")
    argon2_time_cost: int = Field(2, ge=1, description="passes over the memory of a hash")
    argon2_memory_kib: int = Field(19 * 1024, ge=8 * 1024, description="KiB that a hash takes")
    hash_threads: int = Field(2, ge=1, description="passwords a process hashes at once")
    hash_wait: float = Field(10.0, gt=0, description="seconds a password may wait to be hashed")

    # Guessing passwords. A source is a network: IPv4 /24, IPv6 /64.
    guess_free: int = Field(5, ge=1, description="failures of a source at one name without a wait")
    guess_wait: float = Field(30.0, ge=1, description="seconds that the wait between them grows to")
    guess_memory: int = Field(900, ge=1, description="seconds such a failure is remembered")
    source_failures: int = Field(20, ge=1, description="failures of a source, whatever the names")
    source_failures_window: int = Field(300, ge=1, description="in so many seconds")
    source_names: int = Field(20, ge=1, description="names at which a source fails")
    source_names_window: int = Field(3600, ge=1, description="in so many seconds")
    home_failures: int = Field(
        10, ge=1, description="failures at a name that is at home there, in guess_memory seconds"
    )
    home_days: int = Field(30, ge=1, description="days a name is at home where it signed in")

    # Registration.
    registration: Literal["open", "invite", "closed"] = Field(
        "open", description="who may register: anybody, who has a code, nobody"
    )
    registrations_per_hour: int = Field(20, ge=1, description="accounts of one source in an hour")

    # The log.
    body_limit: int = Field(32 * 1024, gt=0, description="bytes of one entry's body as JSON")
    recall_window: int = Field(86400, ge=0, description="seconds to recall one's own, 0: always")
    mentions_limit: int = Field(50, ge=0, description="people mentioned in one message")
    history_limit: int = Field(200, gt=0, description="entries in one answer")
    list_limit: int = Field(500, gt=0, description="items of a list in one answer")
    members_limit: int = Field(1000, gt=0, description="members of a group in one answer")
    answer_bytes: int = Field(
        256 * 1024, ge=4096, description="bytes of one answer, as JSON; more is another page"
    )
    last_entry_bytes: int = Field(
        1024, ge=64, description="bytes of a body in a list of conversations; more is cut off"
    )
    commit_limit: int = Field(500, gt=0, description="entries in one insert")
    hole_age: float = Field(2.0, gt=0, description="seconds before a reader fills a hole")
    append_attempts: int = Field(8, ge=1, description="tries to number an entry that collides")

    soft_state_ttl: int = Field(
        14 * 86400, gt=0, description="seconds that an idle log's counter and tail stay in Redis"
    )
    append_timeout: float = Field(8.0, gt=0, description="seconds to store one batch")

    # Commands (results kept for replay of a cid).
    command_ttl: int = Field(7 * 86400, gt=0, description="seconds a first result is kept")
    command_lease: float = Field(10.0, gt=0, description="seconds until a dead command is retaken")

    # Calls.
    param_errors_limit: int = Field(20, ge=1, description="places that an error about params names")

    # Groups.
    group_members_limit: int = Field(100_000, ge=1, description="members of one group")
    groups_limit: int = Field(2000, ge=1, description="groups of one person")
    group_uids_limit: int = Field(2500, ge=1, description="people in one call")
    group_admins_limit: int = Field(100, ge=0, description="admins of one group")
    typing_members_limit: int = Field(
        100, ge=0, description="members of a group in which it is told who is writing"
    )
    late_limit: int = Field(
        200,
        ge=0,
        description="members who joined after a message and are told of its edit one by one",
    )
    group_policy: Literal["anyone", "friends", "nobody"] = Field(
        "anyone", description="who adds people to groups without asking, unless they say otherwise"
    )
    copy_ttl: int = Field(600, gt=0, description="seconds that copies of such facts live in Redis")

    # People.
    strangers: Literal["anyone", "friends"] = Field(
        "anyone", description="whom people may write to directly"
    )
    friends_limit: int = Field(5000, gt=0, description="friends and open requests of one person")
    friend_notes_limit: int = Field(
        1024, gt=0, description="bytes of what one notes of a friend, as JSON"
    )
    blocks_limit: int = Field(5000, gt=0, description="people that one person has blocked")

    # What strangers may do to one person.
    open_invitations_limit: int = Field(200, ge=1, description="to groups, unanswered")
    added_per_day: int = Field(100, ge=1, description="groups that strangers put one into")
    open_requests_limit: int = Field(200, ge=1, description="to be friends, unanswered")
    first_messages_per_hour: int = Field(
        100, ge=0, description="conversations that one begins with people who are no friends"
    )

    # The bus.
    node_stream_length: int = Field(10_000, gt=0, description="entries kept for a slow node")
    node_ttl: float = Field(12.0, gt=0, description="seconds without heartbeat until dead")
    bus_entry_limit: int = Field(1024 * 1024, gt=0, description="bytes of frames in one entry")
    bus_channels_limit: int = Field(2000, gt=0, description="channels in one publishing script")
    redis_keys_limit: int = Field(1000, gt=0, description="keys in any other command or script")

    # Events.
    events_stream_length: int = Field(50_000, gt=0, description="batches kept for subscribers")
    events_attempts: int = Field(10, ge=1, description="tries of an event before it is dead")
    events_dead_length: int = Field(10_000, gt=0, description="dead events kept of a subscriber")
    events_claim_after: float = Field(
        15.0, gt=0, description="seconds until the events of a dead connector are taken over"
    )
    events_held: int = Field(
        10_000, gt=0, description="events of one subscriber that a connector takes at once"
    )
    events_unsent: int = Field(
        50_000, gt=0, description="events that a connector keeps while Redis is away"
    )

    # Presence.
    presence_grace: float = Field(5.0, ge=0, description="seconds until going offline is told")
    presence_watch_limit: int = Field(
        500,
        ge=0,
        description="members of a group whose presence is told to one who begins to watch",
    )

    # The connector.
    connector_host: Host = Field("127.0.0.1", description="the address that it listens on")
    connector_port: int = Field(8001, ge=0, le=65535, description="and the port; 0: any")
    frame_limit: int = Field(64 * 1024, gt=0, description="bytes of one WebSocket frame")
    sessions_limit: int = Field(15_000, gt=0, description="sockets of one connector")
    open_timeout: float = Field(10.0, gt=0, description="seconds to open a session")
    ping_after: float = Field(20.0, gt=0, description="seconds of silence before a ping")
    pong_timeout: float = Field(10.0, gt=0, description="seconds until a ping is answered")
    rate_per_second: float = Field(1000.0, gt=0, description="calls of one session, sustained")
    rate_burst: int = Field(10_000, gt=0, description="calls of one session at once")
    call_bytes: int = Field(
        4096,
        gt=0,
        description="a frame counts as one call, and as one more for each of so many bytes",
    )
    noise_per_second: float = Field(
        50.0, gt=0, description="pings, empty fragments and refused calls of one socket, sustained"
    )
    noise_burst: int = Field(500, gt=0, description="of these at once, then close 4003")
    public_per_second: float = Field(
        100.0, gt=0, description="calls of a socket without a session, sustained"
    )
    public_burst: int = Field(1000, gt=0, description="calls of a socket without a session at once")
    public_address_per_second: float = Field(
        200.0, gt=0, description="public calls over HTTP from one address, sustained"
    )
    public_address_burst: int = Field(
        2000, gt=0, description="public calls over HTTP from one address at once"
    )
    public_in_flight_limit: int = Field(
        16, gt=0, description="unanswered calls of a socket without a session before reading pauses"
    )
    public_frame_limit: int = Field(
        8 * 1024, gt=0, description="bytes of a call by who has not signed in"
    )
    unopened_limit: int = Field(
        2000, ge=1, description="sockets without a session from one address; the oldest go first"
    )
    in_flight_limit: int = Field(
        256, gt=0, description="unanswered calls before reading of the socket pauses"
    )
    in_flight_bytes: int = Field(
        1024 * 1024, gt=0, description="bytes of unanswered calls before reading pauses"
    )
    invalid_frames_limit: int = Field(10, gt=0, description="in a row, then close 4003")
    send_buffer_limit: int = Field(
        1024 * 1024,
        gt=0,
        description="bytes a reader may lag behind; beyond, nothing more is called for it",
    )
    send_buffer_most: int = Field(
        16 * 1024 * 1024, gt=0, description="bytes a reader may lag behind at all, then close 4008"
    )
    slow_reader_timeout: float = Field(
        10.0, gt=0, description="seconds without progress of who lags behind, then close 4008"
    )
    trusted_proxies: Networks = Field(
        "", description="networks, separated by commas, whose X-Forwarded-For is believed"
    )
    http_body_timeout: float = Field(10.0, gt=0, description="seconds for the body of a request")
    http_answer_timeout: float = Field(40.0, gt=0, description="seconds for the answer to one")
    visitors_limit: int = Field(
        2000,
        ge=1,
        description="connections from one address that have not said yet what they want; the "
        "oldest go first",
    )
    http_address_limit: int = Field(
        1000, ge=1, description="HTTP connections from one address; the oldest go first"
    )
    http_requests_limit: int = Field(1000, ge=1, description="requests of a connector at once")
    lanes: int = Field(4, ge=1, description="lanes of a function; its annotation overrides")
    lane_late_batches: int = Field(
        32, ge=1, description="batches of a function under way where some are late"
    )
    lane_patience: float = Field(0.5, gt=0, description="seconds until a batch is late")
    lane_batch: int = Field(256, ge=1, description="calls in one batch, its annotation lowers it")
    lane_share: int = Field(
        16, ge=1, description="calls of one person in a batch; its annotation overrides"
    )
    lane_batch_bytes: int = Field(1024 * 1024, gt=0, description="of frames in one batch")
    lane_queue: int = Field(
        4096, ge=8, description="calls waiting for one function, an eighth of it of one person"
    )
    lane_queue_bytes: int = Field(
        32 * 1024 * 1024, gt=0, description="and their bytes, an eighth of it of one person"
    )
    call_timeout: float = Field(15.0, gt=0, description="seconds for one HTTP call")
    answer_limit: int = Field(
        64 * 1024 * 1024, gt=0, description="bytes of what a function answers to one batch"
    )
    call_retry_for: float = Field(8.0, ge=0, description="seconds of retries that are safe")
    routes_interval: float = Field(2.0, gt=0, description="seconds between route refreshes")
    routes_file: ExistingFile | None = Field(
        None, description="static routes instead of the gateway"
    )
    heartbeat_interval: float = Field(3.0, gt=0, description="seconds between two beats")
    join_believed: float = Field(
        10.0,
        ge=0,
        description="seconds old that the news of a join may be; older, its sessions' channels are "
        "asked for again",
    )
    drain_timeout: float = Field(10.0, gt=0, description="seconds to finish accepted calls")


@lru_cache(1)
def settings() -> Settings:
    """This process's settings, read once. Raises `ValidationError`; `startup` has said before what
    is wrong."""
    return Settings(_env_file=os.environ.get("STONECHAT_ENV_FILE"), _env_file_encoding="utf-8")
