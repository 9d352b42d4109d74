"""Linux network namespaces, the links between them, and their removal.

Must not know: servers, calls, cells. Every name begins with the id of the run, so that runs do not disturb each other.
A separate process (`reaper.py`) removes everything of a run when the run ends, however it ends.
"""

import ctypes
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
ETC, NAMED = pathlib.Path("/etc/netns"), pathlib.Path("/run/netns")
NAME = re.compile(r"netlab-(\d+)-[0-9a-f]+-")
LIMIT = 20  # seconds for a command


class Failed(Exception):
    """The laboratory itself does not work: no result of a cell."""


def command(*words, stdin=None):
    """Runs a program to its end and returns what it printed."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def namespaces():
    return [file.name for file in NAMED.iterdir()] if NAMED.exists() else []


def pids(name):
    """The processes in a namespace."""
    found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
    return [int(pid) for pid in found.split()]


def remove(prefix):
    """Ends all processes in the namespaces with this prefix and removes the namespaces."""
    names = [name for name in namespaces() if name.startswith(prefix)]
    for name in names:
        for _ in range(100):
            found = pids(name)
            if not found:
                break
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    for folder in ETC.glob(f"{prefix}*") if ETC.exists() else []:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left_over():
    """Removes what runs have left whose processes, and reapers, do not exist any more."""
    folders = [folder.name for folder in ETC.iterdir()] if ETC.exists() else []
    for name in {*namespaces(), *folders}:
        found = NAME.match(name)
        if found and not pathlib.Path(f"/proc/{found[1]}").exists():
            remove(found[0])


def missing():
    """Why namespaces cannot be made here; None if they can."""
    if os.geteuid():
        return "only root can make network namespaces"
    for program, package in (("ip", "iproute2"), ("nft", "nftables"), ("openssl", "openssl")):
        if not shutil.which(program):
            return f"{program} is not installed (Debian: {package})"
    name = f"netlab-{os.getpid()}-{secrets.token_hex(2)}-try"
    try:
        command("ip", "netns", "add", name)
        command("ip", "netns", "exec", name, "nft", "add table inet t")
    except Failed as e:
        return f"no network namespaces here: {e}"
    finally:
        remove(name)
    return None


class Run:
    """The id of a run, and the process that cleans up after it."""

    def __init__(self):
        remove_left_over()
        self.prefix = f"netlab-{os.getpid()}-{secrets.token_hex(2)}-"
        # In its own session, so that a signal to the terminal's processes does not end it. It acts when its stdin ends.
        self.reaper = subprocess.Popen(
            [sys.executable, HERE / "reaper.py", self.prefix], stdin=subprocess.PIPE, start_new_session=True
        )

    def end(self):
        self.reaper.stdin.close()
        self.reaper.wait(60)


def end_with_parent():
    """In a child: ends it when the thread that started it does."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Namespace:
    """A machine of the laboratory."""

    def __init__(self, prefix, name):
        self.short = name
        self.name = prefix + name
        self.folder = ETC / self.name
        self.folder.mkdir(parents=True)
        # Bound over the files in /etc for every program that is started here. No name is looked up elsewhere.
        self.hosts({})
        self.name_server(None)
        command("ip", "netns", "add", self.name)
        self.ip("link set lo up")
        self.shell(
            "cd /proc/sys/net; for i in all default lo; do echo 0 >ipv6/conf/$i/disable_ipv6; echo 0 >ipv6/conf/$i/accept_dad;"
            " echo 0 >ipv4/conf/$i/rp_filter; done; echo '0 2147483647' >ipv4/ping_group_range"
        )

    def hosts(self, addresses):
        """{name: [address, ...]} for /etc/hosts."""
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        lines += [f"{address} {name}" for name, of in addresses.items() for address in of]
        (self.folder / "hosts").write_text("\n".join(lines) + "\n")

    def name_server(self, address):
        """The name server of /etc/resolv.conf; None: one that refuses at once, because nothing listens."""
        (self.folder / "resolv.conf").write_text(f"nameserver {address or '127.0.0.1'}\n")

    def ip(self, *lines):
        """Commands of `ip` in this namespace."""
        command("ip", "-n", self.name, "-batch", "-", stdin="\n".join(lines) + "\n")

    def shell(self, text):
        return command("ip", "netns", "exec", self.name, "sh", "-ec", text)

    def forwards(self):
        """Makes it a router."""
        self.shell("echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")

    def rules(self, text):
        """Replaces the rules of its packet filter (nft)."""
        command("ip", "netns", "exec", self.name, "nft", "-f", "-", stdin=f"flush ruleset\n{text}\n")

    def count(self, **matches):
        """Counts the packets that are forwarded here and match (nft); `counted` tells how many."""
        counters = "".join(f"counter {name} {{ }}; " for name in matches)
        rules = "; ".join(f"{match} counter name {name}" for name, match in matches.items())
        text = f"table inet count {{ {counters} chain c {{ type filter hook forward priority -10; {rules}; }}; }}\n"
        command("ip", "netns", "exec", self.name, "nft", "-f", "-", stdin=text)

    def counted(self):
        found = json.loads(command("ip", "netns", "exec", self.name, "nft", "-j", "list", "counters"))["nftables"]
        return {one["counter"]["name"]: one["counter"]["packets"] for one in found if "counter" in one}

    def words(self, *words):
        """The words of a command line that runs a program here."""
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def start(self, *words, log, environment=None, **more):
        """Starts a program here. Its stderr goes to the file `log`."""
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        with open(log, "ab") as stderr:
            return subprocess.Popen(
                self.words(*words), stderr=stderr, env={**clean, **(environment or {})}, preexec_fn=end_with_parent, **more
            )


def link(a, a_device, b, b_device):
    """A cable between two namespaces."""
    command(
        "ip", "link", "add", "name", a_device, "netns", a.name, "type", "veth", "peer", "name", b_device, "netns", b.name
    )  # fmt: skip
    a.ip(f"link set dev {a_device} up")
    b.ip(f"link set dev {b_device} up")


def address(namespace, device, *addresses):
    for one in addresses:
        namespace.ip(f"address add {one} dev {device}{' nodad' if ':' in one else ''}")
