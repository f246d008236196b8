"""Server-Sent Events for Python: typed, lossless, from one process to a cluster."""
