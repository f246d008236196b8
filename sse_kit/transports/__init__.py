"""Transports: the protocol in :mod:`~sse_kit.transports.base`, one engine per module beside it."""
