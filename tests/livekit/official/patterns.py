"""Contents that any language can generate, so that a checksum proves what arrived.

Bytes `size` of message `n`: the first four are n, big-endian; byte i of the others is
(i * 7 + n * 13 + (i >> 8) * 31) mod 256. A message of less than four bytes is the beginning of that.
Text: "n:", then the sixteen characters "0123456789abcdé→" repeated, cut at `size` bytes of UTF-8 or fewer so that the
last character is whole.
"""

import hashlib

import numpy as np


def data(size, n):
    i = np.arange(size, dtype=np.uint32)
    made = ((i * 7 + (n * 13 & 255) + (i >> 8) * 31) & 255).astype(np.uint8).tobytes()
    return (n.to_bytes(4, "big") + made[4:])[:size]


def number_of(received):
    """The n of a message with this pattern, None when it is another one."""
    if len(received) < 4:
        return None
    n = int.from_bytes(received[:4], "big")
    return n if data(len(received), n) == received else None


def text(size, n):
    unit = "0123456789abcdé→"
    whole = f"{n}:" + unit * (size // len(unit.encode()) + 1)
    return whole.encode()[:size].decode(errors="ignore")


def sha256(content):
    return hashlib.sha256(content).hexdigest()
