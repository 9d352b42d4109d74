"""The cells: each a network, what happens in it, and the expected outcome.

A cell's function builds the network, starts the servers, lets both participants join (`lab.connect`) and lets time pass
(`lab.wait`). What they report decides. Must not know: how the reports are judged and printed.
"""

import dataclasses
import functools

import lab as parts
from lab import HOME, HTTPS, NET, NOBODY, PORT, PROXY, PROXY_ADDRESS, RELAY, RELAY_ADDRESS, SFU, SFU6, TCP_MEDIA

STREAM, LIVEKIT = "stream", "livekit"
OTHERS = "official", "chromium"  # clients for comparison, on LiveKit
CELLS = []


@dataclasses.dataclass
class Connected:
    """Each participant receives the other's audio within `ms`, later with no gap of more than `gap` ms."""

    ms: int = 1500
    gap: int = 400
    reconnects: int | None = None  # at most
    needs: str | None = None  # programs

    def __str__(self):
        return f"connected in {self.ms} ms, gap {self.gap} ms"


@dataclasses.dataclass
class Named:
    """It does not connect, and a text within `ms` names the cause: it matches the expression `words`."""

    words: str
    ms: int = 5000
    needs: str | None = None
    may_connect: bool = False  # which is more than expected

    def __str__(self):
        return f"{'connected, or ' if self.may_connect else ''}cause named in {self.ms} ms"


@dataclasses.dataclass
class Cell:
    name: str
    what: str  # one line for the table
    run: object
    expected: object
    protocols: tuple
    short: bool  # part of the short form
    others: tuple  # the clients that have what the cell is about


def cell(name, what, expected, protocols=(STREAM, LIVEKIT), short=False, others=OTHERS):
    def add(run):
        CELLS.append(Cell(name, what, run, expected, protocols, short, others))
        return run

    return add


# ---- reaching the SFU


@cell("lan", "one segment", Connected(1000))
def lan(lab):
    lab.lan()
    lab.serve()
    lab.connect()
    lab.talk()


@cell("no-default-route", "a LAN without internet: no default route", Connected(), short=True)
def no_default_route(lab):
    lab.lan(gateway=False, addresses6=None)
    lab.serve(stun=["stun.lab.test:3478"])
    lab.connect()
    lab.talk()


# The WebRTC stack of the development SFU takes no link-local candidates.
@cell("link-local", "only link-local addresses, 169.254.0.0/16", Connected(), protocols=(LIVEKIT,))
def link_local(lab):
    lab.lan(addresses=("169.254.7.1", "169.254.7.2"), addresses6=None, prefix=16, gateway=False)
    lab.serve()
    lab.connect()
    lab.talk()


@cell("ipv6-loopback", "SFU on http://[::1]", Connected())
def ipv6_loopback(lab):
    lab.client = lab.server = lab.machine("machine")
    lab.serve(at="::1")
    lab.connect()
    lab.talk()


@cell("silent-name-server", "a name server that never answers; STUN servers by name", Connected(), short=True)
def silent_name_server(lab):
    lab.routed(drops("udp dport 53"))
    lab.client.name_server(f"{NET}.53")
    # Without a list LiveKit announces public servers by name.
    lab.serve(stun=["stun.lab.test:3478", "stun2.lab.test:3478"] if lab.protocol == STREAM else [])
    lab.connect()
    lab.talk()


@cell("refusing-name-server", "a name server that refuses; STUN servers by name", Connected())
def refusing_name_server(lab):
    lab.routed()
    lab.client.name_server(SFU)
    lab.helper(lab.server, "names", SFU, "refuse")
    lab.serve(stun=["stun.lab.test:3478"])
    lab.connect()
    lab.talk()


@cell("lying-name-server", "a name server that gives one dead address for every name; STUN servers by name", Connected())
def lying_name_server(lab):
    lab.routed(drops(f"ip daddr {NOBODY}"))
    lab.client.name_server(SFU)
    lab.helper(lab.server, "names", SFU, "lie", NOBODY)
    lab.serve(stun=["stun.lab.test:3478"])
    lab.connect()
    lab.talk()


@cell("unknown-name", "the SFU's name, which the name server refuses", Named(r"sfu\.lab\.test", 20000))
def unknown_name(lab):
    lab.routed()
    lab.client.name_server(SFU)
    lab.helper(lab.server, "names", SFU, "refuse")
    lab.serve()
    lab.url = named(lab)
    lab.connect()


@cell("dead-first-address", "the SFU's name has two addresses; the first one is dead", Connected(), short=True)
def dead_first_address(lab):
    lab.routed(drops(f"ip daddr {NOBODY}"))
    lab.client.hosts({"sfu.lab.test": [NOBODY, SFU]})
    lab.serve(named=f"http://sfu.lab.test:{PORT}")
    lab.server.hosts({"sfu.lab.test": [SFU]})
    lab.url = named(lab)
    lab.connect()
    lab.talk()


@cell("forwarder", "signalling over a TCP forwarder on 127.0.0.1, SFU elsewhere", Connected(), short=True)
def forwarder(lab):
    lab.lan()
    lab.serve()
    lab.helper(lab.client, "forward", "127.0.0.1", PORT, lab.at, PORT)
    lab.url = lab.url.replace(lab.at, "127.0.0.1")
    lab.connect()
    lab.talk()


@cell("no-netlink", "the process gets no netlink sockets", Connected(), short=True)
def no_netlink(lab):
    lab.lan()
    lab.serve()
    lab.connect(wrapper=[lab.tools.nonetlink])
    lab.talk()


@cell("sixty-bridges", "sixty more interfaces, as of containers", Connected(), short=True)
def sixty_bridges(lab):
    lab.lan()
    lines = []
    for i in range(60):
        # A bridge has a carrier once a port has.
        lines += [
            f"link add br{i} type bridge", f"link add v{i} type veth peer name w{i}", f"link set dev v{i} master br{i}",
            f"address add 172.{16 + i // 4}.{i % 4 * 64}.1/18 dev br{i}",
            *(f"link set dev {device} up" for device in (f"v{i}", f"w{i}", f"br{i}")),
        ]  # fmt: skip
    lab.client.ip(*lines)
    lab.serve()
    lab.connect()
    lab.talk()


@cell(
    "interface-comes-and-goes", "another interface comes and goes every 1.5 s", Connected(reconnects=0), short=True
)  # fmt: skip
def interface_comes_and_goes(lab):
    lab.lan()
    lab.serve()
    lab.connect()
    for _ in range(3):
        lab.client.ip(
            "link add docker9 type veth peer name docker9b", "address add 172.30.0.1/16 dev docker9",
            "link set dev docker9b up", "link set dev docker9 up",
        )  # fmt: skip
        lab.wait(1.5)
        lab.client.ip("link delete docker9")
        lab.wait(1.5)


# ---- what firewalls let through


def passes(*rules):
    """A firewall that drops everything else, in both directions."""
    return f"""table inet fw {{ chain f {{ type filter hook forward priority 0; policy drop;
        ct state established,related accept; {'; '.join(f'{rule} accept' for rule in rules)}; }}; }}"""


def drops(*rules):
    """A firewall that lets everything else pass."""
    return f"""table inet fw {{ chain f {{ type filter hook forward priority 0; policy accept;
        {'; '.join(f'{rule} drop' for rule in rules)}; }}; }}"""


def named(lab):
    return lab.url.replace(lab.at, "sfu.lab.test")


@cell("ice-tcp", "UDP is blocked; ICE over TCP to the SFU", Connected(1000), short=True)
def ice_tcp(lab):
    lab.routed(passes(f"tcp dport {{ {PORT}, {TCP_MEDIA} }}"))
    lab.serve(tcp=True)
    lab.connect()
    lab.talk()


@cell("turn-udp", "only the TURN server's UDP port is open", Connected(1500, needs="turnserver"))
def turn_udp(lab):
    lab.routed(passes(f"tcp dport {PORT}", f"udp dport {RELAY}"))
    lab.relay("udp")
    lab.serve()
    lab.connect()
    lab.talk()


@cell("turn-tcp", "UDP is blocked; TURN over TCP", Connected(1500, needs="turnserver"))
def turn_tcp(lab):
    lab.routed(passes(f"tcp dport {{ {PORT}, {RELAY} }}"))
    lab.relay("tcp")
    lab.serve()
    lab.connect()
    lab.talk()


@cell("only-443", "only TCP port 443 is open; TURN over TLS", Connected(1500, needs="turnserver"), short=True)
def only_443(lab):
    lab.routed(passes(f"tcp dport {HTTPS}"))
    lab.client.hosts({"turn.lab.test": [RELAY_ADDRESS]})
    lab.relay("tls", HTTPS, "turn.lab.test")
    lab.serve(port=HTTPS)
    lab.connect(options=["--ca", lab.tools.authority])
    lab.talk()


@cell("http-proxy", "only an HTTP proxy can be reached", Connected(1800, needs="turnserver"))
def http_proxy(lab):
    lab.routed(passes(f"ip daddr {PROXY_ADDRESS} tcp dport {PROXY}"))
    behind_proxy(lab, "proxy")
    lab.connect(environment=proxy_environment(""), options=["--ca", lab.tools.authority])
    lab.talk()


@cell("socks-proxy", "only a SOCKS proxy can be reached, which looks up the names", Connected(1800, needs="turnserver"))
def socks_proxy(lab):
    lab.routed(passes(f"ip daddr {PROXY_ADDRESS} tcp dport {PROXY}"))
    behind_proxy(lab, "socks")
    lab.connect(
        environment={"ALL_PROXY": f"socks5h://{PROXY_ADDRESS}:{PROXY}"}, options=["--ca", lab.tools.authority]
    )
    lab.talk()


@cell("proxy-refuses", "the HTTP proxy demands another password", Named(r"proxy|407", 20000, needs="turnserver"))
def proxy_refuses(lab):
    lab.routed(passes(f"ip daddr {PROXY_ADDRESS} tcp dport {PROXY}"))
    behind_proxy(lab, "proxy", "lab:right")
    lab.connect(environment=proxy_environment("lab:wrong@"), options=["--ca", lab.tools.authority])


def behind_proxy(lab, *kind):
    lab.server.hosts({"turn.lab.test": [RELAY_ADDRESS], "sfu.lab.test": [SFU]})
    lab.helper(lab.server, "forward", PROXY_ADDRESS, PROXY, *kind)
    lab.relay("tls", HTTPS, "turn.lab.test")
    lab.serve(named="https://sfu.lab.test")
    # With TLS, as a service has it.
    certificate, key = lab.tools.certificate
    lab.helper(lab.server, "forward", SFU, HTTPS, SFU, PORT, "--tls", certificate, key)
    lab.url = f"{'wss' if lab.protocol == LIVEKIT else 'https'}://sfu.lab.test"


def proxy_environment(credentials):
    url = f"http://{credentials}{PROXY_ADDRESS}:{PROXY}"
    return {"HTTPS_PROXY": url, "https_proxy": url, "http_proxy": url}


@cell("wrong-turn-password", "only the TURN server can be reached, and it refuses", Named(r"401|credential|password", needs="turnserver"))
def wrong_turn_password(lab):
    lab.routed(passes(f"tcp dport {PORT}", f"udp dport {RELAY}"))
    lab.relay("udp", announced_password="wrong")
    lab.serve()
    lab.connect()


@cell("nothing-passes", "signalling passes, no media in any way", Named(r"candidate|nothing was received|UDP", 30000))
def nothing_passes(lab):
    lab.routed(passes(f"tcp dport {PORT}"))
    lab.serve()
    lab.connect()


# ---- options of the client


@cell("relay-only", "relay_only, where everything else works", Connected(3500, needs="turnserver"))
def relay_only(lab):
    lab.routed()
    lab.router.count(
        to_relay=f'iifname "in" ip daddr {RELAY_ADDRESS} udp dport {RELAY}',
        other_datagrams=f'iifname "in" meta l4proto udp ip daddr . udp dport != {{ {RELAY_ADDRESS} . {RELAY} }}',
        media_over_tcp=f'iifname "in" tcp dport {TCP_MEDIA}',
    )
    lab.relay("udp")
    lab.serve(tcp=True)
    lab.connect(options=["--relay-only", 1])
    lab.talk()
    lab.demand(lab.router, some=["to_relay"], none=["other_datagrams", "media_over_tcp"])


@cell("relay-only-without", "relay_only, and no TURN server", Named(r"relay|TURN|gathered nothing", 40000))
def relay_only_without(lab):
    lab.routed()
    lab.serve()
    lab.connect(options=["--relay-only", 1])


def through_the_second(lab, names, rule):
    wifi, cable = two_paths(lab)
    lab.client.ip("route add default via 192.168.6.1 metric 100")
    if rule:
        lab.client.ip("route add default via 192.168.6.1 table 6", "rule add from 192.168.6.2 table 6")
    wifi.count(through_eth0='iifname "in" meta l4proto udp')
    cable.count(through_eth1='iifname "in" meta l4proto udp')
    lab.serve()
    lab.connect(options=["--interfaces", names])
    lab.talk()
    lab.demand(wifi, none=["through_eth0"])
    lab.demand(cable, some=["through_eth1"])


@cell("interfaces-included", "interfaces=eth1, and the default route leads through eth0", Connected(), others=())
def interfaces_included(lab):
    through_the_second(lab, "eth1", rule=False)


@cell("interfaces-included-rule", "the same, and a rule: what has eth1's address leaves through eth1", Connected(), others=())
def interfaces_included_rule(lab):
    through_the_second(lab, "eth1", rule=True)


@cell("interfaces-excluded-rule", "the same with interfaces=!eth0", Connected(), others=())
def interfaces_excluded_rule(lab):
    through_the_second(lab, "!eth0", rule=True)


@cell("interfaces-missing", "interfaces=wlan9, which does not exist", Named(r"interface|gathered nothing", 40000), others=())
def interfaces_missing(lab):
    lab.routed()
    lab.serve()
    lab.connect(options=["--interfaces", "wlan9"])


def family(version, none):
    @cell(f"ip-family-{version}", f"ip_family: IPv{version} only, where both work", Connected(), others=())
    def run(lab):
        lab.routed(v6=True)
        lab.router.count(**{
            f"datagrams_of_ipv{v}": f'iifname "in" meta nfproto ipv{v} meta l4proto udp' for v in (4, 6)
        })  # fmt: skip
        lab.serve(more=[SFU6])
        lab.connect(options=["--ip-family", version])
        lab.talk()
        lab.demand(lab.router, some=[f"datagrams_of_ipv{version}"], none=[f"datagrams_of_ipv{none}"])


family(4, none=6)
family(6, none=4)


@cell("port-range", "a firewall that passes only UDP from ports 50000 to 50003, the range of the client", Connected(), others=())
def port_range(lab):
    lab.routed(passes(f"tcp dport {PORT}", "udp sport 50000-50003"))
    lab.router.count(
        from_the_range='iifname "in" udp sport 50000-50003', from_elsewhere='iifname "in" udp sport != 50000-50003'
    )
    lab.serve()
    lab.connect(options=["--ports", "50000-50003"])
    lab.talk()
    lab.demand(lab.router, some=["from_the_range"], none=["from_elsewhere"])


@cell("dscp", "dscp=46: every datagram is marked", Connected(), others=())
def dscp(lab):
    lab.routed(v6=True)
    lab.router.count(
        marked='iifname "in" meta l4proto udp ip dscp 46', unmarked='iifname "in" meta l4proto udp ip dscp != 46',
        marked_ipv6='iifname "in" meta l4proto udp ip6 dscp 46', unmarked_ipv6='iifname "in" meta l4proto udp ip6 dscp != 46',
    )  # fmt: skip
    lab.serve(more=[SFU6])
    lab.connect(options=["--dscp", 46])
    lab.talk()
    lab.demand(lab.router, some=["marked"], none=["unmarked", "unmarked_ipv6"])


# ---- NAT

# Less than the second that LiveKit's server waits, on two peer connections, before it uses an address that it learns from
# the client's packets.
BEHIND_NAT = 1000


@cell("port-restricted-nat", "behind a port-restricted NAT", Connected(BEHIND_NAT))
def port_restricted_nat(lab):
    lab.routed(nats=1)
    lab.serve()
    lab.connect()
    lab.talk()


@cell("symmetric-nat", "behind a NAT with another random port for every destination", Connected(BEHIND_NAT), short=True)
def symmetric_nat(lab):
    lab.routed()
    lab.router.rules(parts.NAT.replace("masquerade", "masquerade fully-random"))
    lab.serve()
    lab.connect()
    lab.talk()


@cell("double-nat", "behind two NATs", Connected(BEHIND_NAT))
def double_nat(lab):
    lab.routed(nats=2)
    lab.serve()
    lab.connect()
    lab.talk()


@cell("hairpin", "client and SFU behind one NAT; the SFU announces its public address", Connected(BEHIND_NAT))
def hairpin(lab):
    lab.client, lab.router, lab.server = map(lab.machine, ("client", "router", "server"))
    lab.router.forwards()
    for device, one in (("in", lab.client), ("in2", lab.server)):
        parts.link(one, "eth0", lab.router, device)
    parts.address(lab.client, "eth0", f"{HOME}.2/24")
    parts.address(lab.server, "eth0", "192.168.6.2/24")
    parts.address(lab.router, "in", f"{HOME}.1/24")
    parts.address(lab.router, "in2", "192.168.6.1/24")
    parts.address(lab.router, "lo", f"{NET}.1/32")
    lab.client.ip(f"route add default via {HOME}.1")
    lab.server.ip("route add default via 192.168.6.1")
    # What goes to the public address goes to the SFU, and comes from the public address.
    lab.router.rules(f"""table ip nat {{
        chain d {{ type nat hook prerouting priority -100; ip daddr {NET}.1 dnat to 192.168.6.2; }};
        chain s {{ type nat hook postrouting priority 100; ip daddr 192.168.6.2 ct status dnat snat to {NET}.1; }}; }}
        table ip fw {{ chain f {{ type filter hook forward priority 0; policy drop; ct status dnat accept; }}; }}""")
    lab.serve(at="192.168.6.2", public=f"{NET}.1", named=f"http://{NET}.1:{PORT}")
    lab.url = lab.url.replace("192.168.6.2", f"{NET}.1")
    lab.connect()
    lab.talk()


@cell("nat-rebinding", "the NAT restarts in the call: other ports, all connections forgotten", Connected(BEHIND_NAT, 8000))
def nat_rebinding(lab):
    lab.routed(nats=1)

    def ports(range_):
        lab.router.rules(
            parts.NAT.replace("masquerade;", f"ip protocol {{ tcp, udp }} masquerade to :{range_};")
        )  # fmt: skip

    ports("20000-29999")
    lab.serve()
    lab.connect()
    lab.wait(2)
    ports("30000-39999")
    lab.server_command(lab.router, parts.HELPERS / "flush.py")
    lab.wait(14)


# ---- IPv6


@cell("ipv6-only", "only IPv6", Connected())
def ipv6_only(lab):
    lab.routed(v4=False, v6=True)
    lab.serve()
    lab.connect()
    lab.talk()


@cell("broken-ipv6", "IPv6 addresses and routes exist, no IPv6 packet passes", Connected(2000), short=True)
def broken_ipv6(lab):
    lab.routed(drops("meta nfproto ipv6"), v6=True)
    lab.client.hosts({"sfu.lab.test": [SFU6, SFU]})
    lab.serve(more=[SFU6], named=f"http://sfu.lab.test:{PORT}")
    lab.server.hosts({"sfu.lab.test": [SFU]})
    lab.url = named(lab)
    lab.connect()
    lab.talk()


NO_SYNTHESIS = Named(
    r"never connected|nothing was received|could not connect", 30000, needs="tayga turnserver", may_connect=True
)

# NAT64: the client has IPv6 only, the servers have IPv4 only.


def nat64_turn(lab, transport):
    lab.nat64({"sfu.lab.test": SFU, "turn.lab.test": RELAY_ADDRESS})
    lab.relay(transport, host="turn.lab.test")
    lab.serve(named=f"http://sfu.lab.test:{PORT}")
    lab.server.hosts({"sfu.lab.test": [SFU], "turn.lab.test": [RELAY_ADDRESS]})
    lab.url = named(lab)
    lab.connect()
    lab.talk()


for transport in "udp", "tcp":
    cell(
        f"nat64-turn-{transport}", f"only IPv6, and a NAT64; the servers' names; TURN over {transport.upper()}",
        Connected(3500, needs="tayga turnserver"),
    )(functools.partial(nat64_turn, transport=transport))  # fmt: skip


# The candidates of an SFU are addresses, not names.
@cell("nat64-direct", "only IPv6, and a NAT64; the SFU's name; no TURN", NO_SYNTHESIS)
def nat64_direct(lab):
    lab.nat64({"sfu.lab.test": SFU})
    lab.serve(tcp=True, named=f"http://sfu.lab.test:{PORT}")
    lab.server.hosts({"sfu.lab.test": [SFU]})
    lab.url = named(lab)
    lab.connect()
    lab.talk()


@cell("nat64-address", "only IPv6, and a NAT64; the SFU's IPv4 address as URL; TURN over UDP by name", NO_SYNTHESIS)
def nat64_address(lab):
    lab.nat64({"turn.lab.test": RELAY_ADDRESS})
    lab.relay("udp", host="turn.lab.test")
    lab.serve()
    lab.server.hosts({"turn.lab.test": [RELAY_ADDRESS]})
    lab.connect()
    lab.talk()


# ---- packet sizes


@cell("mtu-1280", "packets of at most 1280 bytes", Connected())
def mtu_1280(lab):
    lab.routed(mtu=1280)
    lab.serve()
    lab.connect()
    lab.talk()


# Certificates of DTLS are longer than that.
SMALL = Named(r"DTLS|handshake", 30000, may_connect=True)


@cell("small-up-576", "UDP packets of more than 576 bytes to the SFU are lost", SMALL)
def small_up_576(lab):
    lab.routed(drops('iifname "in" meta l4proto udp meta length > 576'))
    lab.serve()
    lab.connect()
    lab.talk()


@cell("no-fragments-576", "packets of at most 576 bytes both ways, and fragments are lost", SMALL)
def no_fragments_576(lab):
    lab.routed(drops("ip frag-off & 0x3fff != 0"), mtu=576)
    lab.serve()
    lab.connect()
    lab.talk()


# ---- bad lines

def bad_line(name, what, expected, short=False, bitrate=None, **settings):
    @cell(name, what, expected, short=short)
    def run(lab):
        lab.options += ["--bitrate", bitrate] if bitrate else []
        lab.lan(addresses6=None, **settings)
        lab.serve()
        lab.connect()
        lab.wait(2 * lab.calm)


# Lost packets of TCP cost a second each when they open a connection, and 200 ms later.
bad_line("delay-300", "300 ms there and back", Connected(5000), delay=150)
bad_line("jitter-60", "up to 60 ms more delay: packets overtake each other", Connected(3000), delay=20, jitter=60)
bad_line("loss-5", "5 % of the packets are lost", Connected(6000), loss=5)
bad_line("loss-10", "10 % of the packets are lost", Connected(10000), short=True, loss=10)
bad_line("loss-20", "20 % of the packets are lost", Connected(20000, 800), loss=20)
bad_line("loss-bursts", "bursts of 10 lost packets, 5 % in all", Connected(6000, 1000), burst_every=190, burst_length=10)
bad_line("reordering", "a quarter of the packets overtakes by 50 ms", Connected(3000), delay=50, reorder=25)
bad_line("duplicates", "a fifth of the packets comes twice", Connected(), duplicate=20)
# Opus with 64 kbit/s, the default, would not fit.
bad_line("rate-64", "a line of 64 kbit/s; Opus with 24 kbit/s", Connected(8000, 1500), bitrate=24000, rate=64, queue=1000)


# ---- changes in the call


@cell("interface-down", "the interface is down for 5 s", Connected(gap=8000))
def interface_down(lab):
    lab.lan(addresses6=None)
    lab.serve()
    lab.connect()
    lab.wait(2)
    lab.client.ip("link set dev eth0 down")
    lab.wait(5)
    lab.client.ip("link set dev eth0 up", f"route replace default via {lab.at}")
    lab.wait(10)


@cell("address-changed", "the machine gets another address", Connected(gap=4000), short=True)
def address_changed(lab):
    lab.lan(addresses6=None)
    lab.serve()
    lab.connect()
    lab.wait(2)
    lab.client.ip(
        "address del 10.77.0.1/24 dev eth0", "address add 10.77.0.33/24 dev eth0", f"route replace default via {lab.at}"
    )  # fmt: skip
    lab.wait(8)


def two_paths(lab):
    """Two interfaces with a router each; the first one is the default."""
    lab.client, lab.server = lab.machine("client"), lab.machine("server")
    routers = [lab.machine("wifi"), lab.machine("cable")]
    for i, router in enumerate(routers):
        router.forwards()
        parts.link(lab.client, f"eth{i}", router, "in")
        parts.link(lab.server, f"eth{i}", router, "out")
        parts.address(lab.client, f"eth{i}", f"192.168.{i + 5}.2/24")
        parts.address(router, "in", f"192.168.{i + 5}.1/24")
        parts.address(router, "out", f"10.{i}.0.1/24")
        parts.address(lab.server, f"eth{i}", f"10.{i}.0.2/24")
        router.ip(f"route add {SFU}/32 via 10.{i}.0.2")
        lab.server.ip(f"route add 192.168.{i + 5}.0/24 via 10.{i}.0.1")
    # The SFU's address is on no link, so that both ways to it are equal.
    lab.server.ip("link add sfu type bridge", "link set sfu up")
    parts.address(lab.server, "sfu", f"{SFU}/32")
    lab.client.ip("route add default via 192.168.5.1")
    lab.at = SFU
    return routers


@cell("route-moved", "the default route moves to another interface; the first one goes on", Connected(gap=3000))
def route_moved(lab):
    two_paths(lab)
    lab.serve()
    lab.connect()
    lab.wait(2)
    lab.client.ip("route replace default via 192.168.6.1")
    lab.wait(8)


@cell("path-lost", "the default route moves to another interface; nothing passes on the first one", Connected(gap=4000))
def path_lost(lab):
    wifi, _ = two_paths(lab)
    lab.serve()
    lab.connect()
    lab.wait(2)
    wifi.rules(drops("meta nfproto ipv4"))
    lab.client.ip("route replace default via 192.168.6.1")
    lab.wait(10)


@cell("path-dead", "nothing passes for 6 s, and no interface or route changes", Connected(gap=9500))
def path_dead(lab):
    lab.routed()
    lab.serve()
    lab.connect()
    lab.wait(2)
    lab.router.rules(drops("meta nfproto ipv4"))
    lab.wait(6)
    lab.router.rules("")
    lab.wait(8)


@cell("frozen-process", "the process is stopped for 8 s", Connected(gap=11000))
def frozen_process(lab):
    lab.lan()
    lab.serve()
    lab.connect()
    lab.wait(2)
    lab.freeze(8)
    lab.wait(6)
