"""A TCP forwarder, an HTTP proxy, or a SOCKS proxy.

    forward.py ADDRESS PORT TO PORT [--tls CERTIFICATE KEY]    with --tls it speaks TLS with its clients
    forward.py ADDRESS PORT proxy [USER:PASSWORD]              HTTP: CONNECT only; demands the password (Basic)
    forward.py ADDRESS PORT socks                              SOCKS 5 (RFC 1928): CONNECT only, no authentication

Prints "ready"; the proxies also print every CONNECT.
"""

import argparse
import asyncio
import base64
import ipaddress
import ssl

LIMIT = 10  # seconds to connect
HEAD = 16 << 10  # bytes
SOCKS_ADDRESS_BYTES = {1: 4, 3: None, 4: 16}  # a name has its length before it


async def copy(source, target):
    try:
        while some := await source.read(1 << 16):
            target.write(some)
            await target.drain()
    except OSError:
        pass
    finally:
        target.close()


async def connect(host, port):
    try:
        return await asyncio.wait_for(asyncio.open_connection(host, port), LIMIT)
    except (OSError, asyncio.TimeoutError):
        return None


async def carry(reader, writer, far):
    await asyncio.gather(copy(reader, far[1]), copy(far[0], writer))


def refuse(writer, line, *headers):
    writer.write("\r\n".join([f"HTTP/1.1 {line}", *headers, "Content-Length: 0", "Connection: close", "", ""]).encode())
    writer.close()


class Proxy:
    def __init__(self, password):
        self.password = f"Basic {base64.b64encode(password.encode()).decode()}" if password else None

    async def serve(self, reader, writer):
        try:
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT)).decode("latin-1")
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.close()
            return
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, target = (first.split(" ") + [""])[:2]
        if method != "CONNECT":
            refuse(writer, "405 Method Not Allowed", "Allow: CONNECT")
            return
        if self.password and headers.get("proxy-authorization") != self.password:
            refuse(writer, "407 Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="lab"')
            return
        print("CONNECT", target, flush=True)
        host, _, port = target.rpartition(":")
        far = await connect(host.strip("[]"), int(port))
        if not far:
            refuse(writer, "502 Bad Gateway")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await carry(reader, writer, far)


async def socks(reader, writer):
    async def octets(n):
        return await asyncio.wait_for(reader.readexactly(n), LIMIT)

    try:
        _, methods = await octets(2)
        await octets(methods)
        writer.write(b"\5\0")
        _, command, _, kind = await octets(4)
        if command != 1 or kind not in SOCKS_ADDRESS_BYTES:
            raise ValueError("not CONNECT")
        size = SOCKS_ADDRESS_BYTES[kind] or (await octets(1))[0]
        host = await octets(size)
        host = host.decode("ascii", "replace") if kind == 3 else str(ipaddress.ip_address(host))
        port = int.from_bytes(await octets(2), "big")
    except (OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError):
        writer.close()
        return
    print("CONNECT", host, port, flush=True)
    far = await connect(host, port)
    writer.write(bytes([5, 0 if far else 5, 0, 1, 0, 0, 0, 0, 0, 0]))
    await carry(reader, writer, far) if far else writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("to", nargs="+")
    parser.add_argument("--tls", nargs=2)
    a = parser.parse_args()

    async def forward(reader, writer):
        far = await connect(a.to[0], int(a.to[1]))
        await carry(reader, writer, far) if far else writer.close()

    tls = None
    if a.tls:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*a.tls)
    if a.to[0] == "proxy":
        serve = Proxy((a.to[1:] or [None])[0]).serve
    else:
        serve = socks if a.to == ["socks"] else forward
    server = await asyncio.start_server(serve, a.address, a.port, ssl=tls, limit=HEAD)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
