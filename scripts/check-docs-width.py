#!/usr/bin/env python3
"""check-docs-width.py [--shots DIR] [PAGE...]: checks the pages of target/docs in headless Chromium at 1280 and at 390 px.

At both widths no page may scroll sideways, and no line of code, no table and no text may be cut off. Then it tests the search
in a page that is opened as a file. --shots saves screenshots. Skipped (77) without Chromium: apt-get install chromium.
"""

import base64
import functools
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "target/docs"
WIDTHS = {1280: 900, 390: 844}
# Loads the pages one after the other in a frame of that width, so that one start of the browser checks all of them.
LOOK = """<!DOCTYPE html><meta charset="utf-8"><style>body{margin:0}iframe{border:0;width:%dpx;height:%dpx}</style>
<iframe></iframe><script>
const pages = %s, seen = {}, frame = document.querySelector('iframe');
const look = doc => {
  const root = doc.documentElement, cut = [];
  for (const e of doc.querySelectorAll('.md-content pre code, .md-content pre, .md-typeset__scrollwrap, .md-content p, .md-content li, .md-content dd, .md-content h1, .md-content h2, .md-content h3, .md-content img'))
    // Padding of code at the end of a line may hang over; text may not.
    if (e.scrollWidth > e.clientWidth + 5 && getComputedStyle(e).display !== 'inline')
      cut.push(e.tagName + ': ' + e.textContent.trim().slice(0, 60));
  return {wide: root.scrollWidth, of: root.clientWidth, cut: cut};
};
(async () => {
  for (const page of pages) {
    await new Promise(next => { frame.onload = next; frame.src = '/' + page; });
    await new Promise(next => setTimeout(next, 50));
    seen[page] = look(frame.contentDocument);
  }
  document.body.insertAdjacentHTML('beforeend', '<p id="seen">' + btoa(unescape(encodeURIComponent(JSON.stringify(seen)))) + '</p>');
})();
</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def main():
    arguments = sys.argv[1:]
    shots = None
    if "--shots" in arguments:
        at = arguments.index("--shots")
        shots = pathlib.Path(arguments[at + 1])
        del arguments[at : at + 2]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        print("SKIPPED: check-docs-width: no Chromium: apt-get install chromium")
        sys.exit(77)
    pages = arguments or sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.html") if p.name != "404.html")
    wrong = []
    with tempfile.TemporaryDirectory() as work:
        site = pathlib.Path(work, "site")
        shutil.copytree(DOCS, site)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={work}/profile"]

        def dom(url, budget, *more):
            return subprocess.run([*browser, f"--virtual-time-budget={budget}", *more, "--dump-dom", url],
                                  capture_output=True, text=True, timeout=300).stdout

        for width, height in WIDTHS.items():
            (site / "look.html").write_text(LOOK % (width, height, json.dumps(pages)))
            found = re.search(r'id="seen">([A-Za-z0-9+/=]+)</p>', dom(f"http://127.0.0.1:{server.server_port}/look.html", 300000))
            if not found:
                sys.exit(f"check-docs-width: Chromium did not show the pages at {width} px")
            for page, seen in json.loads(base64.b64decode(found[1])).items():
                if seen["wide"] > seen["of"]:
                    wrong.append(f"{width} px: {page}: {seen['wide']} px wide in {seen['of']}")
                wrong += [f"{width} px: {page}: cut off: {text}" for text in seen["cut"]]
            if shots:
                shots.mkdir(parents=True, exist_ok=True)
                for page in pages:
                    (site / "one.html").write_text(f'<!DOCTYPE html><style>body{{margin:0}}iframe{{border:0;width:{width}px;height:{height}px}}</style>'
                                                   f'<iframe src="/{page}"></iframe>')
                    subprocess.run([*browser, "--virtual-time-budget=3000", f"--window-size={max(width, 500)},{height}",
                                    f"--screenshot={shots}/{page.replace('/', '_')}.{width}.png",
                                    f"http://127.0.0.1:{server.server_port}/one.html"], capture_output=True, timeout=60)
        server.shutdown()
        # The search must also work in a page that is not served by a server.
        said = dom(f"file://{DOCS}/index.html?q=oh_call_join", 20000)
        if not re.search(r'md-search-result__list.*href="[^"]*/reference/c/call\.html[^"]*#oh_call_join"', said, re.S):
            wrong.append("the search finds nothing in a page that is opened as a file")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"ok {len(pages)} pages fit into {' and '.join(map(str, WIDTHS))} px; nothing is cut off; the search works without a server")


main()
