#!/usr/bin/env python3
"""docs.py [--check [HEADER]] [OUT]: the documentation as static pages, into target/docs: the header's reference, the guides, the rest.

--check writes nothing: it fails where an item of the header says nothing of itself. Writing fails as well where a link
leads nowhere. Needs Debian's python3-markdown for the pages, and no network. Guides may include a section of another
file, <!-- include bindings/go/README.md#first-call -->: it is there when the file is.
"""

import html
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cheader  # noqa: E402

ROOT = cheader.ROOT
# The pages of the reference: an item is on the first one that knows its name. One that is on none is a failure.
GROUPS = [
    ("client", "Client", "How to reach the service, and as whom.", r"oh_client\w*|oh_protocol|oh_access_token\w*"),
    ("call", "Call", "Join, wait, leave; states and reasons.",
     r"oh_call(_options(_init)?|_join|_wait|_state|_provide_token|_leave|_free|_handlers|_capabilities|_set_attributes)?"
     r"|oh_state(_name)?|oh_end_reason|oh_capability|oh_reconnect|oh_destroy"),
    ("events", "Events", "What happens, and how it is told.",
     r"oh_event\w*|oh_pin|oh_participant_kind|oh_leave_reason|oh_right|oh_direction|oh_unplayable|oh_call_next_event|oh_call_wake_fd"),
    ("sound", "Sound", "Tracks that are sent, sound that is heard.",
     r"oh_track(?!_kind)\w*|oh_audio\w*|oh_call_publish_audio|oh_publisher\w*|oh_call_publisher|oh_track_kind"),
    ("subscriber", "Subscriber", "What is received, and of whom.", r"oh_subscriber\w*|oh_call_subscriber|oh_remote_track\w*|oh_layer"),
    ("data", "Data between participants", "Packets, texts, procedure calls, custom events.",
     r"oh_data\w*|oh_rpc\w*|oh_call_send_\w+|oh_call_rpc\w*"),
    ("process", "Process, errors, figures", "Versions, the log, results, statistics, the end.",
     r"oh_result\w*|oh_last_error|oh_version|oh_abi_version|oh_log\w*|oh_network\w*|oh_shutdown_wait|oh_call_(get_)?stats|oh_call_trace|OH_ABI_VERSION|OH_FOREVER|OH_NO_DRAIN|oh_limits\w*|OH_LIMITS\w*"),
]
GUIDES = ["first-call", "livekit-first-call", "threads-and-ownership", "voice-agent", "binding", "many-sessions", "from-aiortc", "from-libwebrtc", "security", "limits"]
KINDS = {"struct": "struct", "union": "union", "enum": "enum", "function": "function", "callback": "type of a callback", "macro": "constant"}


def fail(lines):
    sys.exit("".join(f"docs: {line}\n" for line in lines).rstrip())


def undocumented(items):
    """Whatever says nothing of itself: items, and their values and fields."""
    for item in items:
        if item.name.endswith("_INIT"):
            continue  # described with the structure whose defaults they are
        if not item.doc:
            yield f"{item.name}: this {KINDS[item.kind]} is not documented"
        if item.kind in ("enum", "struct", "union"):
            yield from (f"{item.name}.{m.name}: not documented" for m in item.members if not m.doc)
        if item.kind in ("function", "callback"):
            # Parameters are told one by one or, where one sentence says it all, not at all.
            told = re.findall(r"@param (\w+)", item.doc)
            known = [m.name for m in item.members]
            yield from (f"{item.name}: its documentation has @param {t}, which it does not take" for t in told if t not in known)


class Reference:
    """The items of the header, where each stands, and how a text's names become links."""

    def __init__(self, items):
        self.items = {i.name: i for i in items}
        self.where, lost = {}, []
        for item in items:
            name = item.name
            if name.endswith("_INIT"):
                name = name[:-5].lower()
            group = next((g for g, _, _, pattern in GROUPS if re.fullmatch(pattern, name)), None)
            if not group:
                lost.append(f"{item.name}: no page of the reference is for it (GROUPS)")
                continue
            target = name if item.name.endswith("_INIT") else item.name
            self.where[item.name] = f"ref-{group}.html#{target}"
            if item.kind == "enum":
                self.where |= {m.name: f"ref-{group}.html#{m.name}" for m in item.members}
            if item.kind in ("struct", "union"):
                self.where |= {f"{item.name}.{m.name}": f"ref-{group}.html#{item.name}.{m.name}" for m in item.members}
        if lost:
            fail(lost)

    def link(self, text, own=""):
        """Escaped text, in which each name that the reference has is a link to it."""
        def one(found):
            name = found[0]
            if name in self.where:
                return name if name == own else f'<a href="{self.where[name]}">{name}</a>'
            first, _, field = name.partition(".")   # the end of a sentence, perhaps
            rest = f".{field}" if "." in name else ""
            return f'<a href="{self.where[first]}">{first}</a>{rest}' if first in self.where and first != own else name
        return re.sub(r"\b(?:oh|OH)_\w+(?:\.\w+)?", one, html.escape(text, quote=False))

    def prose(self, text, own=""):
        """A line or paragraph of a comment: `code` and links."""
        parts = re.split(r"`([^`]+)`", " ".join(text.split()))
        return "".join(f"<code>{self.link(p, own)}</code>" if n % 2 else self.link(p, own) for n, p in enumerate(parts))

    def comment(self, text, own=""):
        """A whole comment: paragraphs, parameters, result, and what the caller has to see to."""
        text, _, safety = text.partition("# Safety")
        out = []
        for block in re.split(r"\n\s*\n", text.strip()):
            entries = re.split(r"^@(param \w+|return)\s+", block, flags=re.M)
            if entries[0].strip():
                out.append(f"<p>{self.prose(entries[0], own)}</p>")
            if len(entries) > 1:
                out.append("<dl>")
                for word, said in zip(entries[1::2], entries[2::2]):
                    title = f"<code>{word[6:]}</code>" if word.startswith("param") else "returns"
                    out.append(f"<dt>{title}</dt><dd>{self.prose(said, own)}</dd>")
                out.append("</dl>")
        if safety.strip():
            out.append(f'<p class="safety">{self.prose(safety, own)}</p>')
        return "\n".join(out)

    def declared(self, item):
        """The declaration as it is written in C, without comments and what cbindgen puts around enums."""
        if item.kind == "macro":
            return f"#define {item.name} {html.escape(item.type)}"
        if item.kind == "enum":
            return ""
        if item.kind in ("struct", "union"):
            rows = [f"    {m.type}{'' if m.type.endswith('*') else ' '}{m.name}{f'[{m.array}]' if m.array else ''};" for m in item.members]
            return self.link("\n".join([f"typedef {item.kind} {item.name} {{", *rows, f"}} {item.name};"]), item.name)
        parameters = [f"{m.type}{'' if m.type.endswith('*') else ' '}{m.name}" for m in item.members] or ["void"]
        kind = item.type + ("" if item.type.endswith("*") else " ")
        head = f"typedef {kind}(*{item.name})(" if item.kind == "callback" else f"{kind}{item.name}("
        one = head + ", ".join(parameters) + ");"
        if len(one) > 60:
            one = head + "\n    " + ",\n    ".join(parameters) + ");"
        return self.link(one, item.name)

    def entry(self, item):
        """One item in full."""
        out = [f'<h2 id="{item.name}"><code>{item.name}</code> <span class="kind">{KINDS[item.kind]}</span></h2>']
        if source := self.declared(item):
            out.append(f"<pre><code>{source}</code></pre>")
        out.append(self.comment(item.doc, item.name))
        macro = f"{item.name.upper()}_INIT"
        if macro in self.items:
            out.append(f"<p>Defaults: <code>{item.name} o = {macro};</code>, or <code>{self.link(item.name + '_init')}</code>.</p>")
        if item.kind in ("struct", "union", "enum"):
            out.append("<dl>")
            for m in item.members:
                if item.kind == "enum":
                    out.append(f'<dt id="{m.name}"><code>{m.name}</code> <span class="number">{m.value}</span></dt>')
                else:
                    kind = m.type + (f"[{m.array}]" if m.array else "")
                    out.append(f'<dt id="{item.name}.{m.name}"><code>{m.name}</code> <span class="number">{self.link(kind, item.name)}</span></dt>')
                out.append(f"<dd>{self.prose(m.doc, item.name)}</dd>")
            out.append("</dl>")
        return "\n".join(out)

    def summary(self, item):
        """The first sentence."""
        first = re.split(r"(?<=\.) ", " ".join(re.split(r"\n\s*\n|@", item.doc)[0].split()) + " ")[0]
        return self.prose(first)

    def pages(self):
        yield from ((f"ref-{g}", title, self.page(g, title, text)) for g, title, text, _ in GROUPS)

    def page(self, group, title, text):
        mine = [i for n, i in self.items.items() if self.where[n].startswith(f"ref-{group}.html") and not n.endswith("_INIT")]
        order = ["function", "callback", "struct", "union", "enum", "macro"]
        mine.sort(key=lambda i: order.index(i.kind))
        rows = "".join(f'<li><a href="#{i.name}"><code>{i.name}</code></a><small>{self.summary(i)}</small></li>' for i in mine)
        return f"<h1>{title}</h1>\n<p>{text}</p>\n<ul class=\"cards\">{rows}</ul>\n" + "\n".join(map(self.entry, mine))


class Markdown:
    """Guides and documents to pages; links between them become links between pages."""

    def __init__(self, reference, pages):
        import markdown

        self.engine = markdown.Markdown(extensions=["fenced_code", "tables", "toc", "sane_lists"])
        self.reference, self.pages = reference, pages  # pages: path of a file -> page

    @staticmethod
    def slug(title):
        return re.sub(r"[^\w -]", "", re.sub(r"[`*]", "", title).lower()).strip().replace(" ", "-")

    def section(self, where):
        """The section of a file below the heading with that anchor, or nothing when there is no such file. A heading that
        only has the anchor's words in it ("A first call in five minutes") does as well."""
        path, _, anchor = where.partition("#")
        file = ROOT / path
        if not file.exists():
            return ""
        lines, heads, fence = file.read_text().split("\n"), [], False
        for n, line in enumerate(lines):
            fence ^= line.startswith("```")
            if not fence and (head := re.match(r"(#+) (.*)", line)):
                heads.append((n, len(head[1]), self.slug(head[2])))
        fits = [h for h in heads if h[2] == anchor] or [h for h in heads if f"-{anchor}-" in f"-{h[2]}-"]
        if not fits:
            fail([f"{where}: {path} has no heading with this anchor"])
        begin, level, _ = fits[0]
        end = next((n for n, depth, _ in heads if n > begin and depth <= level), len(lines))
        return self.inside("\n".join(lines[begin + 1 : end]), file)

    def inside(self, text, file):
        """Links of a file, written for the place where the page is made from: the root."""
        def one(found):
            target = found[2]
            if re.match(r"\w+:|#", target):
                return found[0]
            path, _, anchor = target.partition("#")
            path = os.path.relpath((file.parent / path).resolve(), ROOT)
            return f"[{found[1]}]({path}{'#' + anchor if anchor else ''})"
        return re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", one, text)

    def page(self, file):
        """Title and body of the page of a Markdown file."""
        text = self.inside(file.read_text(), file)
        # A heading with nothing but an include below it goes with it.
        text = re.sub(r"^(#+ .*\n\n)?<!-- include (\S+) -->$",
                      lambda m: (m[1] or "") + section if (section := self.section(m[2])) else "", text, flags=re.M)
        # Info strings say what the tests do with a block; only the language is for readers.
        text = re.sub(r"^(```\w+) .*$", r"\1", text, flags=re.M)
        body = self.engine.reset().convert(text)
        body = re.sub(r"<table>.*?</table>", lambda m: f'<div class="scroll">{m[0]}</div>', body, flags=re.S)
        body = re.sub(r"<code>((?:oh|OH)_\w+(?:\.\w+)?)(\(\))?</code>",
                      lambda m: f"<code>{self.reference.link(m[1])}{m[2] or ''}</code>", body)
        body = re.sub(r'<a href="([^"#:]*)(#[^"]*)?">(.*?)</a>', self.target, body, flags=re.S)
        title = re.search(r"^# (.*)$", text, re.M)
        return (title[1].strip() if title else file.stem), body

    def target(self, found):
        path, anchor, words = found[1], found[2] or "", found[3]
        if not path:
            return found[0]
        if path in self.pages:
            return f'<a href="{self.pages[path]}.html{anchor}">{words}</a>'
        if path == "include/offhook.h":
            return f'<a href="reference.html">{words}</a>'
        if path.startswith("ref-") or path == "reference.html":
            return found[0]
        if not (ROOT / path).exists():
            fail([f"a link leads nowhere: {path}"])
        return words  # a file of the sources, which is no page


def soft(body):
    """Long names may be broken behind an underscore, in running text and in titles, and not in blocks of code."""
    def code(found):
        return re.sub(r"(<[^>]*>)|(?<!\boh)(?<!\bOH)_(?=\w)|(?<=\w)\.(?=\w)", lambda m: m[1] or m[0] + "<wbr>", found[0])
    parts = re.split(r"(<pre>.*?</pre>)", body, flags=re.S)
    return "".join(p if n % 2 else re.sub(r"<code>.*?</code>", code, p, flags=re.S) for n, p in enumerate(parts))


def wrap(name, title, body, version):
    links = [("index", "Offhook"), ("guides", "Guides"), ("reference", "Reference"), ("documents", "Documents")]
    nav = "".join(f"<{'b' if n == 'index' else 'span'}><a href=\"{n}.html\">{t}</a></{'b' if n == 'index' else 'span'}>" for n, t in links)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(re.sub('[`*]', '', title))} · Offhook</title>
<link rel="stylesheet" href="style.css">
</head>
<body id="{name}-page">
<nav>{nav}</nav>
<main>
{soft(body)}
</main>
<footer>Offhook {version}</footer>
</body>
</html>
"""


def check_links(pages):
    """Every link inside leads to a page and, with #, to something in it."""
    ids = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages.items()}
    for name, text in pages.items():
        for target in re.findall(r'href="([^"]+)"', text):
            target = html.unescape(target)
            if re.match(r"\w+:", target) or target == "style.css":
                continue
            page, _, anchor = target.partition("#")
            page = page.removesuffix(".html") or name
            if page not in pages:
                yield f"{name}.html: a link to {target}: no such page"
            elif anchor and anchor not in ids[page]:
                yield f"{name}.html: a link to {target}: nothing there has this name"


def cards(entries):
    return '<ul class="cards">' + "".join(f'<li><a href="{n}.html">{html.escape(t)}</a><small>{s}</small></li>' for n, t, s in entries) + "</ul>"


def lead(file):
    """The first paragraph below the title."""
    text = re.sub(r"<!--.*?-->", "", file.read_text(), flags=re.S)
    for block in re.split(r"\n\s*\n", text):
        if block.strip() and not block.startswith(("#", "```", "|", "- ")):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", " ".join(block.split()))
            return html.escape(re.split(r"(?<=[.:]) (?=[A-Z])", words)[0].rstrip(":"), quote=False)
    return ""


def build(out, text, items):
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    reference = Reference(items)
    guides = [ROOT / f"docs/guides/{g}.md" for g in GUIDES]
    missing = [f"{g}: there is no such guide (GUIDES)" for g in guides if not g.exists()]
    missing += [f"{g}: not in GUIDES" for g in sorted((ROOT / "docs/guides").glob("*.md")) if g not in guides]
    if missing:
        fail(missing)
    bindings = sorted((ROOT / "bindings").glob("*/README.md"))
    documents = [*bindings, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    names = {os.path.relpath(f, ROOT): ("guide-" if f in guides else "doc-") + f.stem.lower() for f in [*guides, *documents]}
    names |= {os.path.relpath(f, ROOT): f"binding-{f.parent.name}" for f in bindings}
    names["README.md"] = "index"
    engine = Markdown(reference, names)
    pages, titles = {}, {}
    for file in [*guides, *documents]:
        name = names[os.path.relpath(file, ROOT)]
        titles[name], body = engine.page(file)
        pages[name] = body
    for name, title, body in reference.pages():
        titles[name], pages[name] = title, body

    manual = "".join(f'<h2 id="{engine.slug(t)}">{t}</h2>\n' + (
        f"<pre><code>{reference.link(b)}</code></pre>" if t == "A call in five steps" else f"<p>{reference.prose(b)}</p>")
        for t, b in cheader.introduction(text))
    groups = cards([(f"ref-{g}", t, html.escape(s)) for g, t, s, _ in GROUPS])
    every = sorted((n for n in reference.items), key=str.lower)
    index = "".join(f'<li><a href="{reference.where[n]}"><code>{n}</code></a></li>' for n in every)
    pages["reference"] = (f"<h1>Reference</h1>\n<p>All of <code>offhook.h</code>: {len(every)} items.</p>{groups}{manual}"
                          f'<h2 id="all">Every item</h2><ul class="names">{index}</ul>')
    guide_cards = cards([(names[os.path.relpath(g, ROOT)], titles[names[os.path.relpath(g, ROOT)]], lead(g)) for g in guides])
    pages["guides"] = f"<h1>Guides</h1>{guide_cards}"
    document_cards = cards([(names[os.path.relpath(d, ROOT)], titles[names[os.path.relpath(d, ROOT)]], lead(d)) for d in documents])
    pages["documents"] = f"<h1>Documents</h1><p>How it is built, what it promises, and how that is tested.</p>{document_cards}"
    pages["index"] = ("<h1>Offhook</h1><p>SFU calls for any language: a C library that joins a call, publishes, subscribes, takes media in "
                      "and gives media out. One header, one library, no daemon; hundreds of sessions in one process.</p>"
                      f"<h2 id=\"guides\">Guides</h2>{guide_cards}<h2 id=\"reference\">Reference</h2>{groups}"
                      f"<h2 id=\"documents\">Documents</h2>{document_cards}")
    for name, title in [("reference", "Reference"), ("guides", "Guides"), ("documents", "Documents"), ("index", "SFU calls for any language")]:
        titles[name] = title
    pages = {name: wrap(name, titles[name], body, version) for name, body in pages.items()}
    if wrong := sorted(set(check_links(pages))):
        fail(wrong)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.html"):
        old.unlink()
    for name, page in pages.items():
        (out / f"{name}.html").write_text(page)
    (out / "style.css").write_text((ROOT / "scripts/docs.css").read_text())
    return len(pages)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    text = pathlib.Path(arguments[0]).read_text() if "--check" in sys.argv and arguments else cheader.HEADER.read_text()
    items = cheader.parse(text)
    if wrong := list(undocumented(items)):
        fail(wrong)
    count = len(items) + sum(len(i.members) for i in items if i.kind in ("enum", "struct", "union"))
    if "--check" in sys.argv:
        Reference(items)
        print(f"ok all {count} items of the header are documented")
        return
    try:
        import markdown  # noqa: F401
    except ImportError:
        # Debian's module belongs to Debian's Python, and another one may be first in PATH.
        if sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3") and not os.environ.get("OFFHOOK_DOCS"):
            os.environ["OFFHOOK_DOCS"] = "again"
            os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
        print("SKIPPED: docs: no Markdown for Python: apt-get install python3-markdown")
        sys.exit(77)
    out = pathlib.Path(arguments[0]) if arguments else ROOT / "target/docs"
    print(f"ok {build(out, text, items)} pages in {out}; all {count} items of the header are documented")


if __name__ == "__main__":
    main()
