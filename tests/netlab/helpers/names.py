"""names.py ADDRESS (refuse | lie ADDRESS): a name server on UDP port 53 that refuses, or answers with one address.

Prints "ready". With `lie`, every A query gets that address, as behind the sign-in page of a hotel; other queries get an
answer without records.
"""

import ipaddress
import socket
import struct
import sys

REFUSED, A = 5, 1

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    query, client = s.recvfrom(1500)
    end = query.find(b"\0", 12) + 5  # behind the name, its type and class
    if len(query) < 17 or end < 17 or len(query) < end:
        continue
    asked = struct.unpack("!H", query[end - 4 : end - 2])[0]
    refuse = sys.argv[2] == "refuse"
    answers = b""
    if not refuse and asked == A:
        # The name is a pointer to that of the question.
        answers = struct.pack("!HHHIH", 0xC00C, A, 1, 60, 4) + ipaddress.ip_address(sys.argv[3]).packed
    flags = 0x8180 | (REFUSED if refuse else 0)
    head = query[:2] + struct.pack("!HHHHH", flags, 1, bool(answers), 0, 0)
    s.sendto(head + query[12:end] + answers, client)
