"""Checks the signature of a Millrace webhook. Needs nothing but Python.

As a program, it reads the body from standard input: verify_webhook.py SECRET HEADER.
"""

import hashlib
import hmac
import sys
import time

TOLERANCE_S = 300


def is_signed(secret: str, header: str, body: bytes, now: float | None = None) -> bool:
    """Whether `header` (Millrace-Signature) signs `body`, which must be the bytes as received."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not times[0].isdigit():
        return False
    if abs((time.time() if now is None else now) - int(times[0])) > TOLERANCE_S:
        return False
    signed = times[0].encode() + b"." + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    # Two secrets sign while one replaces the other; either will do.
    signatures = [value for name, _, value in parts if name == "v1"]
    return any(hmac.compare_digest(expected, signature) for signature in signatures)


if __name__ == "__main__":
    right = is_signed(sys.argv[1], sys.argv[2], sys.stdin.buffer.read())
    print("signed" if right else "not signed")
    sys.exit(0 if right else 1)
