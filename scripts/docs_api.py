"""The references of the bindings as Markdown pages, each made with its own language's tool, for docs.py.

C++: doxygen's XML. Go: `go doc -all`. Python: directives for mkdocstrings, which reads the sources without importing them.
Swift: the public declarations in the sources, for pages that open from a file. DocC's pages need a server: docs-swift.sh.
Each function returns a list of Page, or raises Missing if its tool is not installed. Must not know: the site.
"""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as xml
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Missing(Exception):
    """A tool that is not installed here; the text is for readers of the page."""


@dataclass
class Page:
    name: str   # path below reference/, without .md
    title: str
    text: str   # Markdown


def escaped(text):
    """Escapes text that Markdown would read as markup."""
    return re.sub(r"([\\*_\[\]<>])", r"\\\1", text)


def fence(language, code):
    return f"```{language}\n{code.rstrip()}\n```\n"


def folded(declaration, width=78):
    """A declaration; if it is too long, with one parameter per line."""
    if len(declaration) <= width or "(" not in declaration:
        return declaration
    at, depth, parts, start = declaration.index("("), 0, [], 0
    end = at
    for n in range(at, len(declaration)):
        c = declaration[n]
        depth += (c in "([{<") - (c in ")]}" or (c == ">" and declaration[n - 1] != "-"))
        if c == "," and depth == 1:
            parts.append(declaration[start or at + 1 : n].strip())
            start = n + 1
        if depth == 0:
            end = n
            break
    if end == at:
        return declaration
    parts.append(declaration[start or at + 1 : end].strip())
    return declaration[: at + 1] + "\n    " + ",\n    ".join(parts) + declaration[end:]


# ---------------------------------------------------------------------------------------------------------------- C++

DOXYFILE = """PROJECT_NAME=Offhook
INPUT={include}
RECURSIVE=NO
OUTPUT_DIRECTORY={out}
GENERATE_HTML=NO
GENERATE_LATEX=NO
GENERATE_XML=YES
XML_PROGRAMLISTING=NO
EXTRACT_ALL=YES
QUIET=YES
WARNINGS=NO
"""
# Headers of the binding in the order of the pages. offhook.hpp only includes them.
CPP_HEADERS = ["client", "call", "participant", "track", "audio", "events", "handlers", "options", "parts", "result", "stats", "library",
               "access_token", "constants", "span"]


def words(element):
    """A description of doxygen as Markdown."""
    if element is None:
        return ""
    def inline(node):
        out = escaped(node.text or "")
        for child in node:
            inner = "".join(child.itertext())
            out += f"`{inner}`" if child.tag in ("computeroutput", "ref") else escaped(inner)
            out += escaped(child.tail or "")
        return " ".join(out.split())
    blocks = []
    for part in element.iter("para"):
        blocks.append(inline(part))
    return "\n\n".join(b for b in blocks if b)


def described(node):
    return "\n\n".join(filter(None, (words(node.find("briefdescription")), words(node.find("detaileddescription")))))


def plain(node):
    return "" if node is None else " ".join("".join(node.itertext()).split())


def cpp_declaration(member):
    """The C++ declaration of a member, without the namespace."""
    kind, name = member.get("kind"), plain(member.find("name"))
    if kind == "enum":
        base = plain(member.find("type"))
        return f"enum {'class ' if member.get('strong') == 'yes' else ''}{name}{' : ' + base if base else ''}"
    before = [w for w in ("static", "explicit", "constexpr", "virtual") if member.get(w) == "yes"]
    template = member.find("templateparamlist")
    head = ""
    if template is not None:
        head = "template <" + ", ".join(plain(p.find("type")) + (f" {plain(p.find('declname'))}" if p.find("declname") is not None else "")
                                        for p in template.findall("param")) + ">\n"
    kind_of = plain(member.find("type")).replace("offhook::", "")
    if kind == "typedef":
        return f"{head}using {name} = {kind_of}{plain(member.find('argsstring'))};"
    for word in before:
        kind_of = re.sub(rf"\b{word}\b\s*", "", kind_of)
    text = " ".join(filter(None, [*before, kind_of, name])) + plain(member.find("argsstring")).replace("offhook::", "")
    if kind == "variable":
        text += plain(member.find("initializer")) if plain(member.find("initializer")) != "{}" else ""
    return head + folded(text + ";").replace("( ", "(")


def cpp_members(owner):
    """Public members of a class, or free ones of a namespace: declaration and text."""
    for section in owner.findall("sectiondef"):
        for member in section.findall("memberdef"):
            if member.get("prot") == "public" and member.get("kind") != "friend":
                yield member


def cpp_enum(member):
    rows = []
    for value in member.findall("enumvalue"):
        number = plain(value.find("initializer")).removeprefix("= ")
        said = described(value).replace("\n\n", " ")
        rows.append(f"| `{plain(value.find('name'))}` | {f'`{number}`' if number else ''} | {said} |")
    return "| value | is | |\n|---|---|---|\n" + "\n".join(rows) + "\n" if rows else ""


def cpp():
    if not shutil.which("doxygen"):
        raise Missing("doxygen was not on the machine that built these pages (Debian: `apt-get install doxygen`). "
                      "The headers in `bindings/cpp/include/offhook` have the comments that would be here.")
    include = ROOT / "bindings/cpp/include/offhook"
    with tempfile.TemporaryDirectory() as work:
        (pathlib.Path(work) / "Doxyfile").write_text(DOXYFILE.format(include=include, out=work))
        subprocess.run(["doxygen", f"{work}/Doxyfile"], check=True, stdout=subprocess.DEVNULL, timeout=60)
        compounds = [c for f in sorted(pathlib.Path(work, "xml").glob("*.xml")) if f.name != "index.xml"
                     for c in xml.parse(f).getroot().findall("compounddef")]
    found = {}  # header -> [(line, Markdown)]
    def file(node, text):
        place = node.find("location")
        header = pathlib.Path(place.get("file")).stem
        if "/detail" not in place.get("file"):
            found.setdefault(header, []).append((int(place.get("line")), text))
    for compound in compounds:
        name = plain(compound.find("compoundname"))
        if "detail" in name or name.startswith("std") or compound.get("prot") == "private":
            continue
        if compound.get("kind") in ("class", "struct"):
            short = name.removeprefix("offhook::")
            out = [f"## {escaped(short)} {{ #{re.sub(r'[^a-z0-9_]+', '-', short)} }}\n"]
            bases = [plain(b) for b in compound.findall("basecompoundref") if b.get("prot") == "public"]
            out.append(fence("cpp", f"{compound.get('kind')} {name}{' : public ' + ', '.join(bases) if bases else ''}"))
            out.append(described(compound) + "\n")
            for member in cpp_members(compound):
                out.append(fence("cpp", cpp_declaration(member)))
                if member.get("kind") == "enum":
                    out.append(cpp_enum(member))
                said = described(member).replace("\n\n", "\n\n    ")
                out.append(f"<div class=\"member\" markdown>\n{described(member)}\n</div>\n" if said else "")
            file(compound, "\n".join(out))
        elif compound.get("kind") == "namespace" and name.startswith("offhook"):
            for member in cpp_members(compound):
                title = plain(member.find("qualifiedname")).removeprefix("offhook::") or plain(member.find("name"))
                if title.startswith("operator"):
                    continue
                anchor = re.sub(r"[^a-z0-9_]+", "-", title.lower())
                out = [f"## {escaped(title)} {{ #{anchor} }}\n", fence("cpp", cpp_declaration(member)), described(member) + "\n"]
                if member.get("kind") == "enum":
                    out.append(cpp_enum(member))
                file(member, "\n".join(out))
    pages = []
    for header in [*CPP_HEADERS, *sorted(set(found) - set(CPP_HEADERS) - {"offhook"})]:
        if header not in found:
            continue
        source = (include / f"{header}.hpp").read_text().split("\n", 1)[0].removeprefix(f"// {header}.hpp - ")
        body = "\n".join(text for _, text in sorted(found[header], key=lambda pair: pair[0]))
        lead = escaped(source[:1].upper() + source[1:])
        pages.append(Page(f"cpp/{header}", f"{header}.hpp",
                          f"# {header}.hpp\n\n{lead}\n\n```cpp\n#include <offhook/{header}.hpp>   // or <offhook/offhook.hpp>\n```\n\n{body}"))
    return pages


# ----------------------------------------------------------------------------------------------------------------- Go

def go():
    program = shutil.which("go") or ("/usr/local/go/bin/go" if os.path.exists("/usr/local/go/bin/go") else None)
    if not program:
        raise Missing("Go was not on the machine that built these pages. `go doc -all .` in `bindings/go` prints what would be here.")
    # Only parses: neither the library nor a network is needed.
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "CGO_ENABLED": "1"}
    done = subprocess.run([program, "doc", "-all", "."], cwd=ROOT / "bindings/go", env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Missing(f"`go doc -all .` failed on the machine that built these pages: {done.stderr.strip().splitlines()[-1:]}")
    return go_pages(done.stdout)


def go_comment(lines):
    """The text below a declaration, without its indentation: paragraphs, and code where it is indented further."""
    out, code = [], False
    for line in lines:
        if line.startswith("    ") and not code and (not out or out[-1] == ""):
            out.append("```go")
            code = True
        elif code and line and not line.startswith("    "):
            while out[-1] == "":
                out.pop()
            out += ["```", ""]
            code = False
        out.append(line[4:] if code else re.sub(r"^# ", "### ", line) if line.startswith("# ") else escaped(line))
    if code:
        while out[-1] == "":
            out.pop()
        out.append("```")
    return "\n".join(out).strip()


def go_pages(text):
    """The output of `go doc -all` as one page: sections become headings, declarations code, the rest text."""
    head, *rest = re.split(r"^(CONSTANTS|VARIABLES|FUNCTIONS|TYPES)$", text, flags=re.M)
    intro = "\n".join(head.split("\n")[1:]).strip("\n")
    out = ["# Go\n", fence("go", 'import offhook "github.com/offhook/offhook/bindings/go"'), go_comment(intro.split("\n")).replace("### ", "## "), ""]
    for title, body in zip(rest[::2], rest[1::2]):
        if title != "TYPES":
            out.append(f"## {title.capitalize()}\n")
        lines, n = body.split("\n"), 0
        while n < len(lines):
            line = lines[n]
            if not re.match(r"(const|var|func|type)\b", line):
                n += 1
                continue
            declared = [line]
            opener = line.rstrip()[-1:]
            n += 1
            if opener in "({":
                while n < len(lines) and not re.match(r"[)}]", lines[n]):
                    declared.append(lines[n])
                    n += 1
                declared.append(lines[n])
                n += 1
            said = []
            while n < len(lines) and (lines[n].startswith("    ") or not lines[n]):
                said.append(lines[n][4:])
                n += 1
            found = re.match(r"(type|func) (?:\((?:\w+ )?\*?(\w+)(?:\[[^\]]*\])?\) )?(\w+)", line)
            level = "##" if line.startswith("type") else "###"
            if found:
                name = f"{found[2]}.{found[3]}" if found[2] else found[3]
                out.append(f"{level} {name} {{ #{name} }}\n")
            code = "\n".join(declared).replace("\t", "    ")
            out += [fence("go", folded(code) if len(declared) == 1 else code), go_comment(said), ""]
    return [Page("go", "Go", "\n".join(out))]


# ------------------------------------------------------------------------------------------------------------- Python

PYTHON_TITLES = {"aio": "Calls with asyncio", "_base": "Common to both kinds of calls", "audio": "Audio", "events": "Events", "participants": "Participants and tracks",
                 "options": "Options", "enums": "Constants", "errors": "Errors", "stats": "Statistics and the process",
                 "log": "The log", "_native": "The library that is loaded"}


def python():
    """Directives for mkdocstrings: every public name of the package, under the module that defines it."""
    tree = ast.parse((ROOT / "bindings/python/src/offhook/__init__.py").read_text())
    public, groups = set(), {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            public = {e.value for e in node.value.elts}
        if isinstance(node, ast.ImportFrom) and node.module:
            groups[node.module] = [a.name for a in node.names]
    modules = sorted(groups, key=lambda m: list(PYTHON_TITLES).index(m) if m in PYTHON_TITLES else 99)
    pages, small = [], ["# Python: the rest\n"]
    for module in modules:
        # Handler types are type aliases: mkdocstrings shows them as attributes.
        body = [f"::: offhook.{name}\n" for name in groups[module] if name in public]
        if not body:
            continue
        title = PYTHON_TITLES.get(module, module)
        if module in ("aio", "events", "options", "enums", "errors"):
            pages.append(Page(f"python/{module}", title, f"# Python: {title[0].lower() + title[1:]}\n\n" + "\n".join(body)))
        else:
            small += [f"## {title}\n", *body]
    pages.append(Page("python/rest", "The rest", "\n".join(small)))
    blocking = "# Python: calls without asyncio\n\n::: offhook.blocking\n    options:\n      show_root_heading: false\n      show_root_toc_entry: false\n"
    pages.insert(1, Page("python/blocking", "Calls without asyncio", blocking))
    return pages


# -------------------------------------------------------------------------------------------------------------- Swift

SWIFT_FILES = ["Client", "Call", "CallOperations", "PulledCall", "Track", "Audio", "Event", "EventParts", "Options", "Codes",
               "Errors", "Stats", "RPC", "AccessToken", "Log", "Library"]


def swift_declarations(text):
    """Public declarations with their type and the comment before them: (type, declaration, text, type's name or None)."""
    comment, depth, inside, lines, n = [], 0, [], text.split("\n"), 0
    while n < len(lines):
        line = lines[n]
        stripped = line.strip()
        n += 1
        if stripped.startswith("///"):
            comment.append(stripped[3:].strip())
            continue
        code = re.sub(r'"(\\.|[^"\\])*"|//.*', "", line)
        declares = re.match(r"(@\w+(\([^)]*\))?\s+)*(public\b|case\b|extension\b|static let\b)", stripped)
        public_type = bool(inside) and inside[-1][2]
        if declares and (stripped.startswith(("public", "@")) or (stripped.startswith("case") and public_type and inside[-1][3] == "enum"
                         and depth == inside[-1][0] + 1) or stripped.startswith("extension")):
            whole = stripped
            while whole.count("(") > whole.count(")") and n < len(lines):
                whole += " " + lines[n].strip()
                code += re.sub(r'"(\\.|[^"\\])*"|//.*', "", lines[n])
                n += 1
            whole = re.sub(r"\s*//.*", "", whole)
            found = re.match(r".*?\b(struct|class|enum|protocol|extension|actor) ([\w.]+)", whole)
            kind = found and not re.search(r"\b(func|let|var|init)\b", whole.split(found[1])[0])
            owner = ".".join(i[1] for i in inside)
            if not stripped.startswith("extension"):
                shown = re.sub(r"\s*\{.*$", "", whole).replace("public ", "").strip()
                yield owner, shown, " ".join(comment), kind and found[2]
            if kind and "{" in whole and whole.count("{") > whole.count("}"):
                inside.append((depth, found[2], "public" in whole or stripped.startswith("extension"), found[1]))
        comment = []
        depth += code.count("{") - code.count("}")
        while inside and depth <= inside[-1][0]:
            inside.pop()


def swift():
    folder = ROOT / "bindings/swift/Sources/Offhook"
    out = ["# Swift\n", "Every public declaration of the module `Offhook` with its comment, listed from the sources. `make docs` also "
           "runs DocC where a Swift toolchain is installed; DocC's pages need a web server: `python3 -m http.server -d target/docs`, "
           "then `/swift-docc/documentation/offhook/`.\n"]
    for name in [*SWIFT_FILES, *sorted({f.stem for f in folder.glob("*.swift")} - set(SWIFT_FILES))]:
        text = (folder / f"{name}.swift").read_text()
        found = list(swift_declarations(text))
        if not found:
            continue
        lead = text.split("\n", 1)[0].removeprefix(f"// {name}.swift - ").strip()
        out.append(f"## {name}.swift {{ #{name.lower()} }}\n\n{escaped(lead[:1].upper() + lead[1:])}\n")
        last = None
        for owner, shown, said, type_name in found:
            if type_name:
                title = f"{owner}.{type_name}" if owner else type_name
                out.append(f"### {title} {{ #{title} }}\n")
                last = title
            elif owner != last:
                if owner:
                    out.append(f"**In `{owner}`**\n")
                last = owner
            out.append(fence("swift", folded(shown)))
            if said:
                out.append(re.sub(r"``([^`]+)``", r"`\1`", said) + "\n")
    return [Page("swift", "Swift", "\n".join(out))]
