"""wait.py ADDRESS PORT SECONDS: waits until something listens there."""

import socket
import sys
import time

end = time.monotonic() + float(sys.argv[3])
while True:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
        break
    except OSError as e:
        if time.monotonic() > end:
            raise SystemExit(f"nothing listens on {sys.argv[1]} port {sys.argv[2]}: {e}") from None
        time.sleep(0.02)
