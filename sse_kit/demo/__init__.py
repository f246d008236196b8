"""The demo that ``sse-kit demo`` runs: live figures of this machine, messages, a job."""
