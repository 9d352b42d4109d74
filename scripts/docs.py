#!/usr/bin/env python3
"""docs.py [--check [HEADER]] [OUT]: builds the documentation as a site in target/docs: guides, references, documents, search.

--check writes nothing: it fails if an item of the header has no documentation. Otherwise it gathers Markdown in
target/docs-source (the reference of the header from its comments, those of the bindings by docs_api.py, guides and documents
with their links rewritten), and MkDocs with the theme Material makes the pages (docs/site/mkdocs.yml). A broken link is an
error. Exits with 77 if MkDocs is missing and cannot be installed (scripts/docs-env.sh).
Guides may include a section of another file, <!-- include bindings/go/README.md#first-call -->, if the file exists.
"""

import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cheader  # noqa: E402
import docs_api  # noqa: E402

ROOT = cheader.ROOT
# The pages of the reference. An item is on the first page whose pattern matches; an item without a page is an error.
GROUPS = [
    ("client", "Client", "Service, credentials and user.", r"oh_client\w*|oh_protocol|oh_ip_family|oh_access_token\w*|oh_diagnos\w*|oh_ice_server"),
    ("call", "Call", "Join, wait, leave; states and reasons.",
     r"oh_call(_options|_join|_wait_state|_get_state|_provide_token|_leave|_free|_handlers|_get_capabilities|_set_attributes)?"
     r"|oh_call_state\w*|oh_end_reason|oh_capabilit\w*|oh_reconnect_kind|oh_destroy"),
    ("events", "Events", "Events of a call, and how the application receives them.",
     r"oh_event\w*|oh_direction|oh_unplayable_reason|oh_call_wait_event|oh_call_get_wake_fd"),
    ("participants", "Participants", "Participants of the call, with their tracks and rights.",
     r"oh_participant\w*|oh_call_get_participants|oh_track_info|oh_track_source|oh_pin|oh_leave_reason|oh_rights?|oh_connection_quality"
     r"|oh_unpublish_cause"),
    ("audio", "Audio", "Local tracks, and the audio of participants.",
     r"oh_track(?!_info|_source)\w*|oh_audio\w*|oh_call_publish_audio|oh_publisher\w*|oh_call_get_publisher"),
    ("subscriber", "Subscriber", "Subscriptions and received tracks.",
     r"oh_subscriber\w*|oh_call_get_subscriber|oh_remote_track\w*|oh_video_layer"),
    ("data", "Data between participants", "Packets, texts, procedure calls, custom events.",
     r"oh_data\w*|oh_rpc\w*|oh_call_send_\w+|oh_call_(perform|answer)_rpc"),
    ("process", "Process, errors, statistics", "Versions, the log, results, statistics, shutdown.",
     r"oh_result\w*|oh_get_\w+|oh_log\w*|oh_network\w*|oh_shutdown_wait|oh_call_(get_)?stats|oh_call_get_trace|oh_limits\w*|oh_bool|oh_struct_init"
     r"|OH_ABI_VERSION|OH_FOREVER|OH_ZERO|OH_VERSION\w*"),
]
GUIDES = ["first-call", "livekit-first-call", "threads-and-ownership", "voice-agent", "many-sessions", "from-aiortc", "from-libwebrtc",
          "binding", "security", "limits", "doctor"]
DOCUMENTS = ["architecture", "conventions", "threading", "abi", "reliability", "performance", "testing", "livekit", "sfu",
             "livekit-stand", "packaging", "networks"]
LANGUAGES = [("cpp", "C++"), ("go", "Go"), ("python", "Python"), ("swift", "Swift")]
KINDS = {"struct": "struct", "union": "union", "enum": "enum", "function": "function", "callback": "type of a callback", "alias": "type",
         "macro": "constant"}
NAME = re.compile(r"(?:oh|OH)_\w+(?:\.\w+)?")


def fail(lines):
    sys.exit("".join(f"docs: {line}\n" for line in lines).rstrip())


def undocumented(items):
    """Everything without documentation: items, and their values and fields."""
    for item in items:
        if not item.doc:
            yield f"{item.name}: this {KINDS[item.kind]} is not documented"
        if item.kind in ("enum", "struct", "union"):
            yield from (f"{item.name}.{m.name}: not documented" for m in item.members if not m.doc)
        if item.kind in ("function", "callback"):
            # Parameters are described one by one or, where one sentence covers them, not at all.
            named = re.findall(r"@param (\w+)", item.doc)
            known = [m.name for m in item.members]
            yield from (f"{item.name}: its documentation has @param {t}, which it does not take" for t in named if t not in known)


class Reference:
    """The items of the header, the page of each, and links for names in texts."""

    def __init__(self, items):
        self.items = {i.name: i for i in items}
        self.where, lost = {}, []
        for item in items:
            name = item.name
            group = next((g for g, _, _, pattern in GROUPS if re.fullmatch(pattern, name)), None)
            if not group:
                lost.append(f"{item.name}: no page of the reference is for it (GROUPS)")
                continue
            page = f"reference/c/{group}.md"
            self.where[item.name] = f"{page}#{item.name}"
            if item.kind == "enum":
                self.where |= {m.name: f"{page}#{m.name}" for m in item.members}
            if item.kind in ("struct", "union"):
                self.where |= {f"{item.name}.{m.name}": f"{page}#{item.name}.{m.name}" for m in item.members}
        if lost:
            fail(lost)

    def code(self, text, page, own=""):
        """A name or code in backticks; a link if the reference has it."""
        if found := re.fullmatch(r"(" + NAME.pattern + r")(\(\))?", text):
            name = found[1]
            known = name if name in self.where else name.partition(".")[0]
            if known in self.where and known != own:
                return f"[`{text}`]({relative(self.where[known], page)})"
        return f"`{text}`"

    def prose(self, text, page, own=""):
        """A line or paragraph of a comment as Markdown: names and `code` as code, with links."""
        out = []
        for n, part in enumerate(re.split(r"`([^`]+)`", " ".join(text.split()))):
            if n % 2:
                out.append(self.code(part, page, own))
                continue
            at = 0
            for found in re.finditer(r"\b" + NAME.pattern, part):
                name = found[0]
                if name not in self.where and "." in name:
                    name = name.partition(".")[0]  # possibly the end of a sentence
                out.append(docs_api.escaped(part[at : found.start()]))
                out.append(self.code(name, page, own))
                at = found.start() + len(name)
            out.append(docs_api.escaped(part[at:]))
        return "".join(out)

    def comment(self, text, page, own=""):
        """A whole comment: paragraphs, parameters, result, and the caller's obligations."""
        text, _, safety = text.partition("# Safety")
        out = []
        for block in re.split(r"\n\s*\n", text.strip()):
            entries = re.split(r"^@(param \w+|return)\s+", block, flags=re.M)
            if entries[0].strip():
                out.append(self.prose(entries[0], page, own))
            for word, said in zip(entries[1::2], entries[2::2]):
                title = f"`{word[6:]}`" if word.startswith("param") else "Returns"
                out.append(f"{title}\n:   {self.prose(said, page, own)}")
        if safety.strip():
            out.append(f"**The caller must ensure:** {self.prose(safety, page, own)}")
        return "\n\n".join(out)

    def declared(self, item):
        """The C declaration, without comments."""
        if item.kind == "macro":
            return f"#define {item.name} {item.type}"
        if item.kind == "enum":
            return ""
        if item.kind == "alias":
            return f"typedef {item.type} {item.name};"
        if item.kind in ("struct", "union"):
            rows = [f"    {m.type}{'' if m.type.endswith('*') else ' '}{m.name}{f'[{m.array}]' if m.array else ''};" for m in item.members]
            return "\n".join([f"typedef {item.kind} {item.name} {{", *rows, f"}} {item.name};"])
        parameters = [f"{m.type}{'' if m.type.endswith('*') else ' '}{m.name}" for m in item.members] or ["void"]
        kind = item.type + ("" if item.type.endswith("*") else " ")
        head = f"typedef {kind}(*{item.name})(" if item.kind == "callback" else f"{kind}{item.name}("
        one = head + ", ".join(parameters) + ");"
        return one if len(one) <= 78 else head + "\n    " + ",\n    ".join(parameters) + ");"

    def entry(self, item, page):
        """One item in full."""
        out = [f"## `{item.name}` <span class=\"kind\">{KINDS[item.kind]}</span> {{ #{item.name} data-toc-label=\"{item.name}\" }}"]
        if source := self.declared(item):
            out.append(docs_api.fence("c", source).rstrip())
        out.append(self.comment(item.doc, page, item.name))
        if item.kind in ("struct", "union", "enum"):
            for m in item.members:
                if item.kind == "enum":
                    anchor, kind = m.name, str(m.value)
                else:
                    anchor, kind = f"{item.name}.{m.name}", m.type + (f"[{m.array}]" if m.array else "")
                    base = re.sub(r"\b(const|struct)\b|[ *]|\[.*", "", m.type)
                    if base in self.where and base != item.name:
                        kind = f"[{docs_api.escaped(kind)}]({relative(self.where[base], page)})"
                    else:
                        kind = docs_api.escaped(kind)
                out.append(f'<span id="{anchor}"></span>`{m.name}` <span class="kind">{kind}</span>\n:   {self.prose(m.doc, page, item.name)}')
        return "\n\n".join(out)

    def summary(self, item, page):
        """The first sentence of its documentation."""
        first = re.split(r"(?<=\.) ", " ".join(re.split(r"\n\s*\n|@", item.doc)[0].split()) + " ")[0]
        return self.prose(first, page)

    def pages(self):
        for group, title, text, _ in GROUPS:
            page = f"reference/c/{group}.md"
            on_page = [i for n, i in self.items.items() if self.where[n].startswith(page + "#")]
            order = ["function", "callback", "struct", "union", "enum", "alias", "macro"]
            on_page.sort(key=lambda i: order.index(i.kind))
            rows = "\n".join(f"| [`{i.name}`](#{i.name}) | {self.summary(i, page)} |" for i in on_page)
            yield page, title, f"# {title}\n\n{text}\n\n| item | |\n|---|---|\n{rows}\n\n" + "\n\n".join(self.entry(i, page) for i in on_page)

    def index(self, text):
        """The first page of the C reference: the manual at the start of the header, and every name."""
        page = "reference/c/index.md"
        out = ["# C reference", "Everything of `offhook.h`: " + f"{len(self.items)} items.",
               "| page | |\n|---|---|\n" + "\n".join(f"| [{t}]({g}.md) | {s} |" for g, t, s, _ in GROUPS)]
        for title, body in cheader.introduction(text):
            out.append(f"## {title}")
            if title == "A call in five steps":
                out.append(docs_api.fence("c", body))
            else:
                out += [self.prose(b, page) for b in re.split(r"\n\s*\n", body)]
        every = sorted(self.items, key=str.lower)
        out += ["## Every item", ", ".join(f"[`{n}`]({relative(self.where[n], page)})" for n in every)]
        return "\n\n".join(out)


def relative(target, page):
    """A link from one page of the site to another; both are paths in the site."""
    path, _, anchor = target.partition("#")
    link = "" if path == page else os.path.relpath(path, os.path.dirname(page) or ".")
    return link + (f"#{anchor}" if anchor else "")


class Prose:
    """Guides and documents for the site: includes, links between files as links between pages, names as links."""

    def __init__(self, reference, pages):
        self.reference, self.pages = reference, pages  # pages: path of a file in the repository -> page

    @staticmethod
    def slug(title):
        return re.sub(r"[^\w -]", "", re.sub(r"[`*]", "", title).lower()).strip().replace(" ", "-")

    def section(self, where):
        """The section of a file below the heading with that anchor; empty if there is no such file. A heading that only
        contains the anchor's words ("A first call in five minutes") matches as well."""
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
        """The links of a file, rewritten relative to the root of the repository."""
        def one(found):
            target = found[2]
            if re.match(r"\w+:|#|/", target):
                return found[0]
            path, _, anchor = target.partition("#")
            path = os.path.relpath((file.parent / path).resolve(), ROOT)
            return f"[{found[1]}](/{path}{'#' + anchor if anchor else ''})"
        return re.sub(r"\[((?:[^\[\]]|`[^`]*`)*)\]\(([^)\s]+)\)", one, text)

    def page(self, file, page):
        """The page of a Markdown file."""
        text = self.inside(file.read_text(), file)
        # A heading that contains only a missing include is removed with it.
        text = re.sub(r"^(#+ .*\n\n)?<!-- include (\S+) -->$",
                      lambda m: (m[1] or "") + section if (section := self.section(m[2])) else "", text, flags=re.M)
        # Info strings are for the tests; readers need only the language.
        text = re.sub(r"^(```\w+) .*$", r"\1", text, flags=re.M)
        parts = re.split(r"(^```.*?^```[ ]*$)", text, flags=re.M | re.S)
        return "".join(p if n % 2 else self.links(p, page) for n, p in enumerate(parts))

    def links(self, text, page):
        text = re.sub(r"\[((?:[^\[\]]|`[^`]*`)*)\]\(/([^)\s]+)\)", lambda m: self.target(m[1], m[2], page), text)
        # Names of the header outside of links and headings.
        return re.sub(r"(?m)^#.*$|\[[^\]\n]*\]\([^)]*\)|(?<!`)`(" + NAME.pattern + r"(?:\(\))?)`(?!`)",
                      lambda m: self.reference.code(m[1], page) if m[1] else m[0], text)

    def target(self, words, link, page):
        path, _, anchor = link.partition("#")
        path = path.rstrip("/")
        anchor = f"#{anchor}" if anchor else ""
        if path in self.pages:
            return f"[{words}]({relative(self.pages[path] + anchor, page)})"
        if path.startswith("docs/site/") and ((ROOT / path).exists() or path.endswith("demo.svg")):
            return f"[{words}]({relative('assets/' + os.path.basename(path), page)})"
        if path == "include/offhook.h":
            return f"[{words}]({relative('reference/c/index.md', page)})"
        if not (ROOT / path).exists():
            fail([f"{page}: broken link: {path}"])
        return words  # a source file that has no page


def check_links(pages):
    """Every internal link must lead to a page or file and, with #, to an anchor. pages: path -> HTML, or None for other files."""
    ids = {name: set(re.findall(r'\b(?:id|name)="?([^"\s>]+)', text)) for name, text in pages.items() if text is not None}
    for name, text in pages.items():
        for target in re.findall(r'(?:href|src)="([^"]*)"', text or ""):
            target = html.unescape(target)
            if re.match(r"\w+:|//", target) or not target:
                continue
            page, _, anchor = target.partition("#")
            page = os.path.normpath(os.path.join(os.path.dirname(name), page)) if page else name
            page = page + "/index.html" if page + "/index.html" in pages else "index.html" if page == "." else page
            if page not in pages:
                yield f"{name}: a link to {target}: no such page"
            elif anchor and pages[page] is not None and anchor not in ids[page] and anchor != "__skip":
                yield f"{name}: a link to {target}: no such anchor"


def labelled(page):
    """Adds the column's title to each cell of a table, for narrow screens; removes a table head without text."""
    def table(found):
        titles = [html.unescape(re.sub(r"<[^>]+>", "", t)).strip() for t in re.findall(r"<th\b[^>]*>(.*?)</th>", found[0], re.S)]
        if not any(titles):
            return re.sub(r"<thead>.*?</thead>\s*", "", found[0], flags=re.S)
        def row(cells):
            columns = iter(titles)
            def cell(start):
                title = next(columns, "")
                return f'<td data-label="{html.escape(title)}"{start[1]}>' if title else start[0]
            return re.sub(r"<td\b([^>]*)>", cell, cells[0])
        return re.sub(r"<tr>.*?</tr>", row, found[0], flags=re.S)
    return re.sub(r"<table>.*?</table>", table, page, flags=re.S)


def external(pages):
    """External resources that a page would load: scripts, styles, pictures, fonts. Ordinary links are allowed."""
    for name, text in pages.items():
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", text or ""):
            if re.search(r'\b(?:src|href)="?(?:https?:)?//', tag) and 'rel="canonical"' not in tag:
                yield f"{name}: loads an external resource: {tag}"


def gather(source, text, items):
    """Writes the Markdown of the site into a folder; returns the navigation."""
    reference = Reference(items)
    guides = {f"docs/guides/{g}.md": f"guides/{g}.md" for g in GUIDES}
    documents = {f"docs/{d}.md": f"documents/{d}.md" for d in DOCUMENTS}
    bindings = {f"bindings/{b}/README.md": f"bindings/{b}.md" for b, _ in LANGUAGES}
    top = {f"{n}.md": f"documents/{n.lower()}.md" for n in ("CHANGELOG", "CONTRIBUTING", "SECURITY")}
    files = {**guides, **documents, **bindings, **top}
    missing = [f"{f}: there is no such file" for f in files if not (ROOT / f).exists()]
    missing += [f"{f}: not in GUIDES" for f in map(str, here("docs/guides/*.md")) if f not in guides]
    missing += [f"{f}: not in DOCUMENTS" for f in map(str, here("docs/*.md")) if f not in documents]
    if missing:
        fail(missing)
    pages = {"README.md": "index.md", "docs/site/home.md": "index.md", **files}
    prose = Prose(reference, pages)
    written = {page: prose.page(ROOT / file, page) for file, page in files.items()}
    written["index.md"] = prose.page(ROOT / "docs/site/home.md", "index.md")
    if not (ROOT / "docs/site/demo.svg").exists():
        print("SKIPPED: docs: the home page is without the picture of the demo: scripts/demo-picture.py makes it")
        written["index.md"] = re.sub(r"<!-- picture -->.*?<!-- /picture -->", "", written["index.md"], flags=re.S)
    c_pages = list(reference.pages())
    written |= {page: body for page, _, body in c_pages}
    written["reference/c/index.md"] = reference.index(text)
    apis = []
    for name, title in LANGUAGES:
        try:
            found = getattr(docs_api, name)()
        except docs_api.Missing as why:
            print(f"SKIPPED: docs: the reference of the {title} binding: {why}")
            found = [docs_api.Page(name, title, f"# {title}\n\n{why}\n")]
        written |= {f"reference/{p.name}.md": p.text for p in found}
        entries = [{p.title: f"reference/{p.name}.md"} for p in found]
        apis.append({title: entries} if len(entries) > 1 else {title: entries[0][found[0].title]})
    for page, body in written.items():
        path = source / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    assets = source / "assets"
    assets.mkdir(exist_ok=True)
    for file in here("docs/site/*.css") + here("docs/site/*.js") + here("docs/site/*.svg"):
        shutil.copy(ROOT / file, assets)
    def title(page):
        found = re.search(r"^# (.*)$", written[page], re.M)
        return re.sub(r"[`*]", "", found[1]) if found else page
    return [{"Home": "index.md"},
            {"Guides": [{title(p): p} for p in guides.values()]},
            {"Languages": [{t: f"bindings/{b}.md"} for b, t in LANGUAGES]},
            {"Reference": [{"C": ["reference/c/index.md", *({t: p} for p, t, _ in c_pages)]}, *apis]},
            {"Documents": [{title(p): p} for p in [*documents.values(), *top.values()]]}]


def here(pattern):
    return [p.relative_to(ROOT) for p in sorted(ROOT.glob(pattern))]


def build(out, text, items):
    """Builds the whole site into a folder; returns the number of its pages."""
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    work = ROOT / "target/docs-source" if out == ROOT / "target/docs" else out.parent / f"{out.name}-source"
    shutil.rmtree(work, ignore_errors=True)
    navigation = gather(work / "pages", text, items)
    settings = {"INHERIT": str(ROOT / "docs/site/mkdocs.yml"), "docs_dir": "pages", "site_dir": "site", "nav": navigation,
                "copyright": f"Offhook {version}. MIT or Apache-2.0.",
                "plugins": {"mkdocstrings": {"handlers": {"python": {"paths": [str(ROOT / "bindings/python/src")]}}}}}
    (work / "mkdocs.yml").write_text(json.dumps(settings))  # JSON is YAML
    done = subprocess.run([ROOT / "scripts/docs-env.sh", "mkdocs", "build", "--strict", "--quiet", "-f", work / "mkdocs.yml"],
                          cwd=work, capture_output=True, text=True, timeout=600)
    if done.returncode:
        print(done.stdout, done.stderr, sep="", end="")
        sys.exit(done.returncode)
    site = work / "site"
    for path in site.rglob("*.map"):  # source maps of the theme are not needed
        path.unlink()
    for name in ("sitemap.xml", "sitemap.xml.gz"):
        (site / name).unlink(missing_ok=True)  # the pages have no address of their own
    for text in (ROOT / "target/docs-env").glob("lib/python*/site-packages/mkdocs_material-*.dist-info/**/LICENSE"):
        shutil.copy(text, site / "assets/LICENSE-mkdocs-material.txt")  # the pages contain its files
    pages = {str(p.relative_to(site)): p.read_text() if p.suffix == ".html" else None for p in site.rglob("*") if p.is_file()}
    pages.pop("404.html", None)
    for name, page in pages.items():
        if page is not None:
            (site / name).write_text(labelled(page))
    if wrong := sorted({*check_links(pages), *external(pages)}):
        fail(wrong)
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    site.rename(out)
    return sum(text is not None for text in pages.values())


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
    prepared = subprocess.run([ROOT / "scripts/docs-env.sh"], stdout=subprocess.PIPE, text=True)
    if prepared.returncode:
        print(prepared.stdout, end="")
        sys.exit(prepared.returncode)
    out = pathlib.Path(arguments[0]).resolve() if arguments else ROOT / "target/docs"
    print(f"ok {build(out, text, items)} pages in {out}; all {count} items of the header are documented")


if __name__ == "__main__":
    main()
