#!/usr/bin/env python3
"""check-docs-width.py [WIDTH] [--shots DIR]: no page of target/docs scrolls sideways at a phone's width (390 px).

Looks with headless Chromium, each page in a frame of that width; --shots keeps pictures. By hand, no part of make test.
"""

import functools
import http.server
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "target/docs"
FRAME = """<!DOCTYPE html><meta charset="utf-8"><style>body{margin:0}iframe{border:0;width:%dpx;height:%dpx}</style>
<iframe src="/%s"></iframe><script>
onload = () => { const d = document.querySelector('iframe').contentDocument.documentElement;
  document.body.insertAdjacentHTML('beforeend', `<p id="wide">${d.scrollWidth} ${d.clientWidth} ${d.scrollHeight}</p>`); };
</script>"""


def main():
    width = next((int(a) for a in sys.argv[1:] if a.isdigit()), 390)
    shots = pathlib.Path(sys.argv[sys.argv.index("--shots") + 1]) if "--shots" in sys.argv else None
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        print("SKIPPED: check-docs-width: no Chromium: apt-get install chromium")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as work:
        site = pathlib.Path(work, "site")
        shutil.copytree(DOCS, site)

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={work}/profile",
                   "--virtual-time-budget=5000"]
        wrong = 0
        for page in sorted(p.name for p in DOCS.glob("*.html")):
            (site / "frame.html").write_text(FRAME % (width, 844, page))
            url = f"http://127.0.0.1:{server.server_port}/frame.html"
            seen = subprocess.run([*browser, "--dump-dom", url], capture_output=True, text=True, timeout=60).stdout
            found = re.search(r'id="wide">(\d+) (\d+) (\d+)<', seen)
            if not found:
                sys.exit(f"check-docs-width: Chromium did not show {page}")
            scroll, client, height = map(int, found.groups())
            if scroll > client:
                wrong += 1
                print(f"{page}: {scroll} px wide in {client}", file=sys.stderr)
            if shots:
                shots.mkdir(parents=True, exist_ok=True)
                tall = min(height, 6000)
                (site / "frame.html").write_text(FRAME % (width, tall, page))
                subprocess.run([*browser, f"--window-size={max(width, 500)},{tall}", f"--screenshot={shots / page}.png", url],
                               capture_output=True, timeout=60)
        server.shutdown()
    if wrong:
        sys.exit(1)
    print(f"ok {len(list(DOCS.glob('*.html')))} pages fit into {width} px")


main()
