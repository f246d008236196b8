"""One publish to many clients: sse_kit beside its peers, on the same work, in one run.

``python3 dev.py bench`` installs what this needs and runs it; ``README.md`` says what is measured.
"""
