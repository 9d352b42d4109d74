"""One cell at work: its machines, its servers, the two participants and what they report.

Must not know: which cells there are, and what is expected of them.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from network import Failed, Namespace, address, link, pids

HERE = pathlib.Path(__file__).parent
HELPERS = HERE / "helpers"
ROOM, KEY, SECRET = "lab", "labkey", "the secret of the network laboratory"
PORT, TCP_MEDIA, UDP_MEDIA, RELAY, HTTPS, PROXY = 7880, 7881, 7882, 3478, 443, 3128
RELAY_USER, RELAY_PASSWORD = "lab", "relay-password"
READY = 20  # seconds for a server or a participant that must work
STARTS = {"chromium": 60}  # the same for programs that take longer to start

# Machines on one segment.
NEAR, NEAR6 = ("10.77.0.1", "10.77.0.2"), ("2001:db8:77::1", "2001:db8:77::2")
# A client behind a router, and what is on the other side.
HOME, HOME6 = "192.168.5", "2001:db8:5:"
NET, NET6 = "203.0.113", "2001:db8:cb:"
SFU, SFU6 = f"{NET}.10", f"{NET6}:10"
PREFIX64, POOL = "2001:db8:64::/96", "192.168.64"  # of the NAT64
RELAY_ADDRESS, PROXY_ADDRESS, NOBODY = f"{NET}.11", f"{NET}.20", f"{NET}.99"


class Over(Exception):
    """The client's call ended, or did not connect: the rest of the cell is left out."""


class Participant:
    """A probe as a process, and the events that it has printed."""

    def __init__(self, process, copy):
        self.process, self.copy = process, copy
        self.events = []
        self.news = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        with open(self.copy, "wb", buffering=0) as copy:
            for line in self.process.stdout:
                copy.write(line)
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                with self.news:
                    self.events.append(event)
                    self.news.notify_all()
        with self.news:
            self.events.append({"event": "eof", "at": float("inf")})
            self.news.notify_all()

    def first(self, matches):
        with self.news:
            return next((e for e in self.events if matches(e)), None)

    def wait(self, matches, end):
        """The first event that matches; None when the process has ended, or time has."""
        with self.news:
            while True:
                found = next((e for e in self.events if matches(e)), None)
                if found or (self.events and self.events[-1]["event"] == "eof") or time.monotonic() >= end:
                    return found
                self.news.wait(max(0.0, end - time.monotonic()))

    def named(self, name):
        return self.first(lambda e: e["event"] == name)

    def began(self):
        """When its join began, ms of the machine's clock."""
        return self.named("begin")["monotonic_ms"]

    def stop(self):
        """Ends its measurement, and then its call."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def finish(self):
        """Ends it; returns its summary, or None if it has none."""
        self.stop()
        self.wait(lambda e: e["event"] == "eof", time.monotonic() + 8)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        self.process.kill()
        self.process.wait()
        return self.named("summary")


class Lab:
    """What a cell's function works with."""

    def __init__(self, prefix, tools, out, protocol, client, calm, seed):
        self.prefix, self.tools, self.out = prefix, tools, out
        self.protocol, self.kind = protocol, client
        self.seed = seed  # of bad lines
        self.calm = calm  # seconds of audio where nothing happens
        self.stack = contextlib.ExitStack()
        self.url = self.peer_url = None
        self.options = []  # of both participants
        self.peer = self.participant = None
        self.limit = 20.0  # seconds to wait for audio, or for the end
        self.cause = None  # an expression: a text that matches it ends the wait as well
        self.connected = False
        self.note = None  # why the client did not even start
        self.wrong = []  # what was counted and must not be
        self.counted = {}
        self.relays = []
        out.mkdir(parents=True, exist_ok=True)

    def end(self):
        self.stack.close()

    # -- machines

    def machine(self, name):
        return Namespace(self.prefix, name)

    def run(self, machine, name, *words, ready="ready", environment=None):
        """Starts a server. It ends with the cell. Returns its process once it has printed a line with `ready`."""
        log = self.out / f"{name}.log"
        process = machine.start(
            *words, log=log, environment=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )  # fmt: skip

        def end():
            process.kill()
            process.wait()

        self.stack.callback(end)
        timer = threading.Timer(READY, process.kill)
        timer.start()
        seen = []
        for line in process.stdout:
            seen.append(line)
            if ready.encode() in line:
                break
        timer.cancel()
        if not seen or ready.encode() not in seen[-1]:
            tail = b"".join(seen)[-500:].decode() + log.read_text()[-500:]
            raise Failed(f"{name} did not start: {tail.strip()}")
        # Goes on reading, so that the server never waits for this process.
        threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()
        return process

    def helper(self, machine, name, *arguments):
        return self.run(machine, name, sys.executable, HELPERS / f"{name}.py", *arguments)

    def lan(self, addresses=NEAR, addresses6=NEAR6, prefix=24, gateway=True, **line):
        """Client and server on one segment; with settings of wire.py they share a bad line."""
        self.client, self.server = self.machine("client"), self.machine("server")
        if line:
            wire = self.machine("wire")
            link(self.client, "eth0", wire, "left")
            link(self.server, "eth0", wire, "right")
            for one in self.client, self.server:
                one.ip("link set dev eth0 gso_max_segs 1")  # losses are of packets, not of trains of them
            settings = [f"--{name.replace('_', '-')}={value}" for name, value in line.items()]
            self.wire = self.helper(wire, "wire", "left", "right", f"--seed={self.seed}", *settings)
        else:
            link(self.client, "eth0", self.server, "eth0")
        for one, ip, ip6 in zip((self.client, self.server), addresses, addresses6 or (None, None)):
            address(one, "eth0", f"{ip}/{prefix}")
            if ip6:
                address(one, "eth0", f"{ip6}/64")
        if gateway:
            self.client.ip(f"route add default via {addresses[1]}")
        self.at = addresses[1]

    def routed(self, rules="", v4=True, v6=False, nats=0, mtu=None):
        """A client behind a router (and as many NATs) with rules of a packet filter, and a server on the other side."""
        self.client, self.router, self.server = map(self.machine, ("client", "router", "server"))
        self.router.forwards()
        inner, last = self.client, self.router
        if nats == 2:
            # One more NAT before the router's, with a network of its own.
            last = self.machine("nat")
            last.forwards()
            link(self.client, "eth0", last, "in")
            link(last, "out", self.router, "in")
            address(last, "in", f"{HOME}.1/24")
            address(last, "out", "192.168.6.2/24")
            address(self.router, "in", "192.168.6.1/24")
            last.ip("route add default via 192.168.6.1")
            last.rules('table ip n { chain p { type nat hook postrouting priority 100; oifname "out" masquerade; }; }')
        else:
            link(inner, "eth0", self.router, "in")
            if v4:
                address(self.router, "in", f"{HOME}.1/24")
        link(self.server, "eth0", self.router, "out")
        if v4:
            address(self.client, "eth0", f"{HOME}.2/24")
            address(self.router, "out", f"{NET}.1/24")
            address(self.server, "eth0", f"{SFU}/24", f"{RELAY_ADDRESS}/24", f"{PROXY_ADDRESS}/24")
            self.client.ip(f"route add default via {HOME}.1")
            self.server.ip(f"route add default via {NET}.1")
        if v6:
            address(self.client, "eth0", f"{HOME6}:2/64")
            address(self.router, "in", f"{HOME6}:1/64")
            address(self.router, "out", f"{NET6}:1/64")
            address(self.server, "eth0", f"{SFU6}/64")
            self.client.ip(f"route add ::/0 via {HOME6}:1")
            self.server.ip(f"route add ::/0 via {NET6}:1")
        if mtu:
            self.router.ip(f"link set dev out mtu {mtu}")
            self.server.ip(f"link set dev eth0 mtu {mtu}")
        if nats:
            rules += NAT
        if rules:
            self.router.rules(rules)
        self.at = SFU if v4 else SFU6

    def nat64(self, names):
        """A client with IPv6 only, and a router that translates for it to servers with IPv4 only (RFC 6146), as in many
        mobile networks; its name server gives the IPv4 addresses of `names` within the prefix (DNS64)."""
        self.client, self.router, self.server = map(self.machine, ("client", "router", "server"))
        self.router.forwards()
        link(self.client, "eth0", self.router, "in")
        link(self.server, "eth0", self.router, "out")
        address(self.client, "eth0", f"{HOME6}:2/64")
        address(self.router, "in", f"{HOME6}:1/64")
        address(self.router, "out", f"{NET}.1/24")
        address(self.server, "eth0", f"{SFU}/24", f"{RELAY_ADDRESS}/24")
        self.client.ip(f"route add default via {HOME6}:1")
        config = self.out / "tayga.conf"
        config.write_text(
            f"tun-device nat64\nipv4-addr {POOL}.1\nipv6-addr {HOME6}:64\nprefix {PREFIX64}\n"
            f"dynamic-pool {POOL}.0/24\ndata-dir {self.out}\n"
        )
        # An address of the pool for each address of the client, and one address for all of them outside.
        self.router.shell(f"tayga --config {config} --mktun")
        self.router.ip("link set nat64 up", f"route add {PREFIX64} dev nat64", f"route add {POOL}.0/24 dev nat64")
        self.router.rules(NAT)
        tayga = ["tayga", "--nodetach", "-d", "--config", config]
        self.run(self.router, "tayga", "sh", "-c", 'echo ready; exec "$@" 1>&2', "-", *tayga)
        self.client.name_server(f"{HOME6}:1")
        self.helper(
            self.router, "names", f"{HOME6}:1", "dns64", PREFIX64, *(f"{name}={one}" for name, one in names.items())
        )
        self.at = SFU

    # -- servers

    def serve(self, at=None, port=PORT, udp=True, tcp=False, stun=(), public=None, more=(), named=None):
        """Starts the SFU of this protocol. `stun`: names of STUN servers that it announces; `public`: the address that it
        announces for itself; `more`: further addresses of its own; `named`: its URL, for protocols that announce it."""
        machine, at = self.server, at or self.at
        bracketed = f"[{at}]" if ":" in at else at
        if self.protocol == "stream":
            options = ["--listen", f"[::]:{port}" if more else f"{bracketed}:{port}", "--allow-remote", "--exit-with-stdin", "--log", "info"]
            options += ["--ice-tcp-port", TCP_MEDIA] if tcp else []
            options += [] if udp else ["--no-udp"]
            options += ["--public-address", public] if public else []
            options += [word for other in ([at, *more] if more else []) for word in ("--address", other)]
            options += ["--public-url", named] if named else []
            servers = [f"stun:{name}" for name in stun]
            servers += [f"{url},{RELAY_USER},{password}" for url, _, _, _, password in self.relays]
            options += [word for server in servers for word in ("--ice-server", server)]
            self.run(machine, "sfu", self.tools.sfu, *options, ready='"url"')
            scheme = "http"
        else:
            config = self.out / "livekit.yaml"
            config.write_text(self.livekit(at, port, udp, tcp, stun, public, more))
            self.run(machine, "livekit", "sh", "-c", 'echo ready; exec "$@" 1>&2', "-", self.tools.livekit, "--config", config)
            self.listens(machine, at, port)
            scheme = "ws"
        self.url = self.peer_url = f"{scheme}://{bracketed}:{port}"

    def livekit(self, at, port, udp, tcp, stun, public, more):
        lines = [
            f"port: {port}", f"bind_addresses: {json.dumps([at, *more])}", f"keys: {{{KEY}: {SECRET}}}", "logging: {level: info, json: true}",
            "turn: {enabled: false}", "room: {auto_create: true}", "rtc:",
            f"  node_ip: '{public or ','.join([at, *more])}'", "  use_external_ip: false",
            f"  enable_loopback_candidate: {json.dumps(at == '::1')}", f"  tcp_port: {TCP_MEDIA if tcp else 0}",
        ]  # fmt: skip
        if at != "::1":
            # Otherwise the candidate of the announced address may be a socket of any other address.
            own = [f"{one}/{128 if ':' in one else 32}" for one in (at, *more)]
            lines += [f"  ips: {{includes: {json.dumps(own)}}}"]
        lines += [f"  udp_port: {UDP_MEDIA}"] if udp else ["  force_tcp: true"]
        lines += [f"  stun_servers: {json.dumps(stun)}"] if stun else []
        if self.relays:
            lines += ["  turn_servers:"]
            for _, host, relay_port, protocol, password in self.relays:
                lines += [
                    f"    - {{host: {host}, port: {relay_port}, protocol: {protocol}, username: {RELAY_USER},"
                    f" credential: {password}}}"
                ]
        return "\n".join(lines) + "\n"

    def listens(self, machine, at, port):
        self.server_command(machine, HELPERS / "wait.py", at, port, READY)

    def server_command(self, machine, *words):
        done = subprocess.run(
            machine.words(sys.executable, *words), capture_output=True, text=True, timeout=READY + 5, check=False
        )
        if done.returncode:
            raise Failed(f"{pathlib.Path(words[0]).stem}: {done.stderr.strip()}")

    def relay(self, protocol="udp", port=RELAY, host=RELAY_ADDRESS, announced_password=RELAY_PASSWORD):
        """Starts coturn beside the SFU. To be called before `serve`, which announces it."""
        tls = protocol == "tls"
        words = [
            self.tools.turnserver, "-n", "--lt-cred-mech", f"--user={RELAY_USER}:{RELAY_PASSWORD}", "--realm=lab",
            f"--listening-ip={RELAY_ADDRESS}", f"--relay-ip={RELAY_ADDRESS}", "--min-port=20000", "--max-port=20100",
            f"--listening-port={RELAY if tls else port}", "--no-cli", "--cli-password=unused", "--log-file=stdout",
            "--pidfile=/dev/null", f"--userdb={self.out}/users",
        ]  # fmt: skip
        if tls:
            certificate, key = self.tools.certificate
            words += [f"--tls-listening-port={port}", f"--cert={certificate}", f"--pkey={key}", "--no-dtls"]
        else:
            words += ["--no-tls", "--no-dtls"]
        self.run(self.server, "relay", "sh", "-c", 'echo ready; exec "$@" 1>&2', "-", *words)
        self.listens(self.server, RELAY_ADDRESS, port)
        scheme, transport = ("turns", "tcp") if tls else ("turn", protocol)
        self.relays.append((f"{scheme}:{host}:{port}?transport={transport}", host, port, protocol, announced_password))

    # -- the call

    def start(self, machine, kind, name, url, hz, wrapper=(), environment=None, options=()):
        words = [*wrapper, *self.tools.probe(kind), "--url", url, "--user", name, "--call", ROOM, "--hz", hz, *self.options, *options]
        if kind == "official":
            # It has no option for that; its signalling takes the certificates of the system.
            environment = {"SSL_CERT_FILE": str(self.tools.authority), **(environment or {})}
        if kind == "chromium":
            words += ["--profile", self.out / "profile", "--certificate", self.tools.certificate[0]]
            self.stack.callback(shutil.rmtree, self.out / "profile", ignore_errors=True)
        words += ["--key", KEY, "--secret", SECRET] if self.protocol == "livekit" else ["--token", "development"]
        process = machine.start(
            *words, log=self.out / f"{name}.log", environment=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        participant = Participant(process, self.out / f"{name}.json")
        self.stack.callback(participant.finish)
        return participant

    def connect(self, **more):
        """Both participants join. Returns once each receives the other's audio; raises Over if that does not happen."""
        if not self.peer:
            self.peer = self.start(
                self.server, "offhook", "peer", self.peer_url, 700, options=["--ca", self.tools.authority]
            )
            sends = self.peer.wait(lambda e: e["event"] == "media" and e["direction"] == "send", time.monotonic() + READY)
            if not sends:
                texts = [e["text"] for e in self.peer.events if e.get("text") and e["event"] != "state"]
                self.note = f"the other participant, beside the SFU, does not connect: {(texts or ['no event'])[-1]}"
                raise Over
        self.participant = self.start(self.client, self.kind, "client", self.url, 440, **more)
        # A program may take a while to start on a machine with other work.
        self.participant.wait(lambda e: e["event"] == "begin", time.monotonic() + STARTS.get(self.kind, READY))
        end = time.monotonic() + self.limit

        def enough(e):
            return e["event"] in ("first_frame", "ended") or self.names_the_cause(e)

        for one in self.participant, self.peer:
            # The client may end while the other one is waited for.
            while time.monotonic() < end:
                if one.wait(enough, min(end, time.monotonic() + 0.2)) or self.participant.named("ended"):
                    break
        if not all(one.named("first_frame") for one in (self.participant, self.peer)):
            raise Over
        self.connected = True

    def names_the_cause(self, e):
        return self.cause and e["event"] in ("error", "ended", "media") and re.search(self.cause, e.get("text", ""), re.I)

    def wait(self, seconds):
        """Lets time pass; the call must not end in it."""
        if self.participant.wait(lambda e: e["event"] in ("ended", "eof"), time.monotonic() + seconds):
            raise Over

    def talk(self):
        """Lets time pass in which nothing happens."""
        self.wait(self.calm)

    def freeze(self, seconds):
        """Stops the client's processes for a while."""
        of = pids(self.client.name)
        for number in signal.SIGSTOP, signal.SIGCONT:
            for pid in of:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if number == signal.SIGSTOP:
                time.sleep(seconds)

    def demand(self, machine, some=(), none=()):
        """Of what `machine` has counted there must be `some`, and nothing of `none`."""
        self.counted.update(machine.counted())
        self.wrong += [f"no {name}" for name in some if not self.counted[name]]
        self.wrong += [f"{self.counted[name]} {name}" for name in none if self.counted[name]]

    # -- what was seen

    def result(self):
        participant = self.participant
        for one in participant, self.peer:
            if one:
                one.stop()
        if not participant:
            return {"connect_ms": None, "gap_ms": None, "quiet_ms": None, "reconnects": {}, "ended": self.note, "texts": []}
        local, remote = [one.finish() if one else None for one in (participant, self.peer)]
        if not local or not remote:
            raise Failed(f"no summary of the {'client' if not local else 'other participant'}; see {self.out}")
        # What follows the summary is this leave.
        before = participant.events[: participant.events.index(local)]
        began, ended = participant.began(), next((e for e in before if e["event"] == "ended"), None)
        frames = [one.named("first_frame") for one in (participant, self.peer)]
        texts = [e for e in before if e.get("text") and e["event"] in ("error", "ended", "media")]
        seen = {
            "joined_ms": local["joined_ms"], "media_ms": max(local["send_ms"], local["receive_ms"]),
            "first_frame_ms": local["first_frame_ms"], "connect_ms": None, "gap_ms": None, "quiet_ms": None,
            "reconnects": {k: local[k] for k in ("fast", "rejoin", "migrate")}, "ended": ended and ended["text"],
            "texts": [{"at": e["at"], "text": e["text"]} for e in texts], "wrong": self.wrong, "counted": self.counted,
        }  # fmt: skip
        if self.connected:
            at = [one.began() + e["at"] - began for one, e in zip((participant, self.peer), frames)]
            seen["connect_ms"] = round(max(at))
            seen["gap_ms"] = max(local["gap_ms"], remote["gap_ms"])
            seen["quiet_ms"] = max(local["quiet_ms"], remote["quiet_ms"])
        return seen


# A NAT as most home routers have: packets from other addresses than those that were sent to do not pass.
NAT = """
table ip nat { chain p { type nat hook postrouting priority 100; oifname "out" masquerade; }; }
table ip in { chain f { type filter hook forward priority 1; iifname "out" ct state new drop; }; }
"""
