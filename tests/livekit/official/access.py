"""Room access for these programs: address, token, and options that keep every packet on this machine."""

import urllib.parse

from access_token import token  # noqa: F401: the programs import it from here
from livekit import rtc

# No server listens there. Set explicitly, it replaces the STUN servers that the server would hand out.
NO_STUN = "stun:127.0.0.1:9"
LOCAL = {"127.0.0.1", "localhost", "::1"}


def add_arguments(parser):
    """--url, and --token or --key and --secret."""
    parser.add_argument("--url", required=True, help="ws://127.0.0.1:PORT of the server")
    parser.add_argument("--token", help="a token that is ready")
    parser.add_argument("--key", help="API key, to make a token")
    parser.add_argument("--secret", help="its secret")


def checked_url(url):
    """The address with a WebSocket scheme. These programs are for tests and connect to this machine only."""
    parts = urllib.parse.urlsplit(url)
    if parts.hostname not in LOCAL:
        raise SystemExit(f"{url}: only addresses of this machine are allowed")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return parts._replace(scheme=scheme).geturl()


def room_options(*, two_connections=False, connect_timeout=10.0):
    """One peer connection (the client's default) or two (the older protocol)."""
    return rtc.RoomOptions(
        connect_timeout=connect_timeout,
        single_peer_connection=not two_connections,
        rtc_config=rtc.RtcConfiguration(ice_servers=[rtc.IceServer(urls=[NO_STUN])]),
    )
