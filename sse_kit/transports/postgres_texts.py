"""What PostgreSQL is asked on a new connection, and what to do about what it refuses."""

from __future__ import annotations

import re
from functools import cache

SESSION = """
SELECT pg_catalog.set_config(name, value, %s) FROM (VALUES
    ('lock_timeout', %s), ('statement_timeout', %s),
    ('default_transaction_isolation', 'read committed'), ('idle_session_timeout', '0')
) AS setting (name, value)
"""
"""What a role may have set otherwise: we need to see commits, and a server that gives up as we do.

While it waits for a lock it does not see that who asked is gone, and keeps a process for nobody.
"""

PREPARATION = """
SELECT pg_catalog.set_config('statement_timeout', '60s', true),
    pg_catalog.set_config('lock_timeout', '60s', true),
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
    pg_catalog.pg_advisory_xact_lock(7376529381)
"""
"""Several processes may start at once, and each set up."""

HELLO = """
SELECT version.number, pg_catalog.current_setting('transaction_read_only'),
    pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_isolation'),
    pg_catalog.current_setting('server_encoding')
FROM sse_kit.version
"""

SETUP = "run 'await transport.setup()' once, or PostgresTransport.SQL with psql"
GRANT = "grant it USAGE on the schema, and SELECT, INSERT, UPDATE and DELETE on its tables"
UPGRADE = "upgrade sse-kit in this process"
ISOLATION = "set default_transaction_isolation to 'read committed' for this role"
PRIMARY = "give the address of the primary, or several with target_session_attrs=read-write"

BY_STATE = {
    "3F000": SETUP,  # no such schema
    "42P01": SETUP,  # no such table
    "42883": SETUP,  # no such function
    "42501": GRANT,
    "25006": PRIMARY,  # read-only
}
"""What to do about an error of the server, by its SQLSTATE."""

BY_PHRASE = {
    "authentication failed": "see to user and password",
    "no password supplied": "put a password into the url, or pass password=",
    "no pg_hba.conf entry": "let pg_hba.conf admit this user from here, with TLS if it asks for it",
    "certificate verify failed": "pass sslrootcert=, the authority that signed the certificate",
    "root certificate file": "pass sslrootcert=, the authority that signed the certificate",
    "does not match host name": "use a name that the server's certificate holds",
    "does not support SSL": "enable TLS on the server, or ask for less with sslmode=",
    "session is read-only": PRIMARY,
    "permission denied for database": "grant the role CONNECT on the database",
    "does not exist": "create it, or name another one",
}
"""The same for an attempt to connect, of which libpq gives the text only.

A server that speaks another language is tried for ``connect_timeout`` seconds instead.
"""


@cache
def in_schema(text: str, schema: str) -> bytes:
    """Return SQL of ours for tables in another schema than ``sse_kit``."""
    return re.sub(r"\bsse_kit\b", f'"{schema}"', text).encode()
