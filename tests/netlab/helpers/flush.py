"""flush.py: forgets all connections that the kernel tracks in this namespace, as a NAT does that restarts.

A message of netlink with IPCTNL_MSG_CT_DELETE and no tuple deletes all of them.
"""

import socket
import struct

NETFILTER, REQUEST_ACK, CT_DELETE = 12, 5, (1 << 8) | 2

s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
s.settimeout(5)
s.sendto(struct.pack("=IHHII", 20, CT_DELETE, REQUEST_ACK, 1, 0) + struct.pack("=BBH", socket.AF_UNSPEC, 0, 0), (0, 0))
error = struct.unpack("=i", s.recv(4096)[16:20])[0]
if error:
    raise SystemExit(f"flush: error {-error}")
