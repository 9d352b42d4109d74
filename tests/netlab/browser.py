"""browser.py: the same as probe.c on livekit-client in headless Chromium; the same options, the same lines.

It serves browser.html on 127.0.0.1 of its own namespace and controls the browser through its DevTools pipe. `begin` is
the call of connect(): the start of the browser, the page and the microphone come before. As with the official client,
only `quiet_ms` can be compared. Must not know: cells, expectations.
"""

import argparse
import array
import base64
import contextlib
import ctypes
import hashlib
import http.server
import json
import math
import os
import pathlib
import signal
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
import wave

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "livekit/official"))

from access_token import token  # noqa: E402

CLIENT = HERE.parent.parent / "target/livekit/livekit-client.js"
PROGRAMS = "chromium", "google-chrome"
RATE, LEVEL = 48000, 0.3
ANSWER = 30  # seconds for an answer of the browser: it may be one of many processes on few cores
LIMIT = 180  # seconds in all
ENDS = 3  # seconds for its processes to end
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe --no-first-run"
    " --no-default-browser-check --disable-extensions --disable-background-networking --disable-component-update"
    " --disable-sync --disable-breakpad --disable-crash-reporter --disable-domain-reliability --disable-default-apps"
    " --disable-features=MediaRouter,OptimizationHints,Translate --autoplay-policy=no-user-gesture-required"
    " --disable-background-timer-throttling --disable-renderer-backgrounding --use-fake-ui-for-media-stream"
    " --use-fake-device-for-media-stream --disable-audio-output --enable-logging=stderr"
).split()
# Its maker's services, which it asks for on every start.
FLAGS += ["--host-resolver-rules=MAP *.google.com ~NOTFOUND, MAP *.googleapis.com ~NOTFOUND"]


def program():
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def version():
    """For the table; None without a browser."""
    if not program():
        return None
    done = subprocess.run([program(), "--version"], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.split()[1]


class Failed(Exception):
    pass


class Browser:
    """Chromium, and its DevTools pipe: JSON, with a zero byte behind each message."""

    def __init__(self, profile, flags, on_text):
        self.on_text = on_text
        self.number, self.answers, self.news = 0, {}, threading.Condition()
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
        their_in, self.to = os.pipe()
        self.source, their_out = os.pipe()

        def child():
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends with this process
            # 3 and 4 are the browser's ends; they may be in the way of each other.
            a, b = os.dup(their_in), os.dup(their_out)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [program(), *FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"],
            env={**os.environ, "HOME": str(profile)}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            close_fds=False, preexec_fn=child,
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        text = b""
        while some := os.read(self.source, 1 << 16):
            *messages, text = (text + some).split(b"\0")
            for message in map(json.loads, messages):
                if message.get("method") == "Runtime.bindingCalled":
                    self.on_text(message["params"]["payload"])
                elif "id" in message:
                    with self.news:
                        self.answers[message["id"]] = message
                        self.news.notify_all()
        with self.news:
            self.answers = None
            self.news.notify_all()

    def ask(self, method, session=None, **parameters):
        with self.news:
            self.number += 1
            number = self.number
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        try:
            os.write(self.to, json.dumps(message).encode() + b"\0")
        except OSError as e:
            raise Failed(f"the browser has ended: {e}") from None
        with self.news:
            if not self.news.wait_for(lambda: self.answers is None or number in self.answers, ANSWER):
                raise Failed(f"{method}: no answer of the browser")
            if self.answers is None:
                raise Failed("the browser has ended")
            answer = self.answers.pop(number)
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, url):
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Runtime.enable", self.session)
        self.ask("Runtime.addBinding", self.session, name="emit")
        self.ask("Page.navigate", self.session, url=url)
        end = time.monotonic() + ANSWER
        while self.run("document.readyState") != "complete" or self.run("typeof prepare") != "function":
            if time.monotonic() > end:
                raise Failed("the page does not load")
            time.sleep(0.05)

    def run(self, text):
        """The value of an expression; a promise is waited for."""
        result = self.ask("Runtime.evaluate", self.session, expression=text, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise Failed(result["exceptionDetails"].get("exception", {}).get("description", "the page failed"))
        return result["result"].get("value")

    def end(self):
        """Ends it and its processes, which are children of this one as soon as it has ended."""
        self.process.kill()
        self.process.wait()
        end = time.monotonic() + ENDS
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < end:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.01)


class Page(http.server.SimpleHTTPRequestHandler):
    """The page and its script; nothing else."""

    files = {"/": HERE / "browser.html", "/livekit-client.js": CLIENT}

    def do_GET(self):
        file = self.files.get(self.path)
        body = file.read_bytes() if file else b""
        self.send_response(200 if file else 404)
        self.send_header("Content-Type", "text/html" if self.path == "/" else "text/javascript")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def tone(path, hz):
    """A second of it, which the browser repeats; whole waves, so that there is no step."""
    samples = array.array("h", (round(LEVEL * 32767 * math.sin(2 * math.pi * hz * n / RATE)) for n in range(RATE)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def key_hash(certificate):
    """What --ignore-certificate-errors-spki-list takes."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, capture_output=True, check=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def proxy():
    """The proxy of the environment, in the words of the browser: it has no look-ups of its own with SOCKS 5."""
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        if url := os.environ.get(name):
            parts = urllib.parse.urlsplit(url)
            return f"{parts.scheme.replace('socks5h', 'socks5')}://{parts.hostname}:{parts.port}"
    return None


def line(at, event, **more):
    print(json.dumps({"at": round(at), "event": event, **more}), flush=True)


def run(a):
    profile = pathlib.Path(a.profile)
    profile.mkdir(parents=True)
    tone(profile / "tone.wav", round(a.hz))
    flags = [f"--use-file-for-fake-audio-capture={profile}/tone.wav"]
    flags += [f"--ignore-certificate-errors-spki-list={key_hash(a.certificate)}"] if a.certificate else []
    flags += [f"--proxy-server={proxy()}"] if proxy() else []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    over = threading.Event()
    began = None  # by the clock of the page
    offset = 0.0  # of this machine's clock, ms

    def on_text(text):
        nonlocal began
        event = json.loads(text)
        t = event.pop("t")
        if event["event"] == "begin":
            began = t
            event["monotonic_ms"] = t + offset
        line(t - began, **event)
        if event["event"] == "ended":
            over.set()

    browser = Browser(profile, flags, on_text)
    watchdog = threading.Timer(LIMIT, lambda: os._exit(1))  # the browser ends with this process
    watchdog.daemon = True
    watchdog.start()
    try:
        browser.open(f"http://127.0.0.1:{server.server_port}/")
        browser.run("prepare()")
        # The page's clock is the machine's, less its start. The fastest of some answers tells the difference best.
        offset = min(clocks(browser) for _ in range(8))[1]
        key = token(a.key, a.secret, a.call, a.user)
        joining = {"url": a.url, "token": key, "relay": bool(a.relay_only), "bitrate": a.bitrate}
        browser.run(f"void join({json.dumps(joining)})")

        def watch_stdin():
            sys.stdin.buffer.read()
            over.set()

        threading.Thread(target=watch_stdin, daemon=True).start()
        while not over.wait(0.2):
            if browser.process.poll() is not None:
                raise Failed("the browser has ended")
        s = json.loads(browser.run("finish()"))
        since = {name: round(s[name] - began) if s[name] else 0 for name in ("joined", "published", "first")}
        line(
            time.monotonic() * 1e3 - offset - began, "summary", joined_ms=since["joined"], send_ms=since["published"],
            receive_ms=since["first"], first_frame_ms=since["first"], gap_ms=0, quiet_ms=round(s["longest"]),
            fast=s["resumed"], rejoin=0, migrate=0,
        )  # fmt: skip
        with contextlib.suppress(Failed):
            browser.run("Promise.race([room.disconnect(), new Promise(next => setTimeout(next, 1000))])")
    finally:
        browser.end()
        server.shutdown()
        shutil.rmtree(profile, ignore_errors=True)


def clocks(browser):
    """(ms that an answer took, ms from the page's clock to this machine's)."""
    before = time.monotonic() * 1e3
    page = browser.run("performance.now()")
    after = time.monotonic() * 1e3
    return after - before, (before + after) / 2 - page


def parse():
    parser = argparse.ArgumentParser()
    for name in ("url", "user", "call", "key", "secret", "profile"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--hz", type=float, default=440)
    parser.add_argument("--bitrate", type=int)
    parser.add_argument("--relay-only", type=int, default=0)
    parser.add_argument("--certificate", help="of servers, to be accepted by its key")
    parser.add_argument("--ca", help="ignored: the browser takes --certificate")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        run(parse())
    except Failed as e:
        line(0, "ended", text=f"browser: {e}")
        raise SystemExit(f"browser: {e}") from None
