"""A name server on UDP port 53.

    names.py ADDRESS refuse                              refuses every query
    names.py ADDRESS lie ADDRESS                         one address for every name, as behind the sign-in page of a hotel
    names.py ADDRESS dns64 PREFIX/96 [NAME=ADDRESS]...   these names, and ipv4only.arpa (RFC 7050), which have IPv4 addresses
                                                         only: queries for AAAA get them within the prefix (RFC 6147)

Prints "ready", and every query to stderr. Queries of other types, and for names that exist, get an answer without records.
"""

import ipaddress
import socket
import struct
import sys

NAME_ERROR, REFUSED, A, AAAA = 3, 5, 1, 28
WELL_KNOWN = "192.0.0.170", "192.0.0.171"


def refuse(name, kind):
    return REFUSED, []


def lie(address):
    return lambda name, kind: (0, [ipaddress.ip_address(address)] if kind == A else [])


def dns64(prefix, *entries):
    base = int(ipaddress.ip_network(prefix).network_address)
    names = {"ipv4only.arpa": WELL_KNOWN}
    for entry in entries:
        name, _, address = entry.partition("=")
        names[name] = [*names.get(name, ()), address]

    def answer(name, kind):
        if name not in names:
            return NAME_ERROR, []
        found = [ipaddress.IPv4Address(one) for one in names[name]]
        if kind == AAAA:
            return 0, [ipaddress.IPv6Address(base + int(one)) for one in found]
        return 0, found if kind == A else []

    return answer


def main():
    answer = refuse if sys.argv[2] == "refuse" else {"lie": lie, "dns64": dns64}[sys.argv[2]](*sys.argv[3:])
    s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((sys.argv[1], 53))
    print("ready", flush=True)
    while True:
        query, client = s.recvfrom(1500)
        end = query.find(b"\0", 12) + 5  # behind the name, its type and class
        if len(query) < 17 or end < 17 or len(query) < end:
            continue
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace").lower())
            at += 1 + query[at]
        name, kind = ".".join(labels), struct.unpack("!H", query[end - 4 : end - 2])[0]
        code, addresses = answer(name, kind)
        print(name, kind, *addresses, file=sys.stderr, flush=True)
        # The name of each answer is a pointer to that of the question.
        answers = b"".join(
            struct.pack("!HHHIH", 0xC00C, A if one.version == 4 else AAAA, 1, 60, len(one.packed)) + one.packed
            for one in addresses
        )
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(addresses), 0, 0)
        s.sendto(head + query[12:end] + answers, client)


main()
