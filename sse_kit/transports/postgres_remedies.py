"""What to do about what PostgreSQL refuses."""

from __future__ import annotations

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
