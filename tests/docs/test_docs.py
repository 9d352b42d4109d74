#!/usr/bin/env python3
"""Tests of scripts/docs.py, docs_api.py, check-words.py and check-guides.py: mistakes are planted, and each must be found and named.

Needs neither the library nor an SFU nor MkDocs.
"""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import cheader  # noqa: E402

HEADER = cheader.HEADER.read_text()


def load(script):
    spec = importlib.util.spec_from_file_location(script.replace("-", "_"), ROOT / f"scripts/{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs, api, guides, vocabulary = load("docs"), load("docs_api"), load("check-guides"), load("check-words")


class Case(unittest.TestCase):
    def setUp(self):
        (ROOT / "target").mkdir(exist_ok=True)
        self.work = pathlib.Path(tempfile.mkdtemp(dir=ROOT / "target"))
        self.addCleanup(shutil.rmtree, self.work)


class Header(Case):
    def check(self, header):
        path = self.work / "offhook.h"
        path.write_text(header)
        done = subprocess.run([sys.executable, ROOT / "scripts/docs.py", "--check", path], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def naked(self, before):
        """The header without the comment directly before this text."""
        at = HEADER.index(before)
        start = HEADER.rindex("/**", 0, at)
        self.assertEqual(HEADER[HEADER.index("*/", start) + 2 : at].strip(), "", f"no comment stands before {before!r}")
        return HEADER[:start] + HEADER[at:]

    def test_as_it_is(self):
        code, said = self.check(HEADER)
        self.assertEqual(code, 0, said)
        self.assertRegex(said, r"ok all \d{3} items")

    def test_each_kind_of_item_without_a_word(self):
        for before, name in [("OH_API oh_result oh_network_report(", "oh_network_report: this function"),
                             ("    OH_LOG_TRACE = 5", "oh_log_level.OH_LOG_TRACE"), ("OH_ENUM(oh_video_layer) {", "oh_video_layer: this enum"),
                             ("typedef struct oh_pin {", "oh_pin: this struct"), ("    uint32_t buffer_ms;", "oh_audio_track_options.buffer_ms"),
                             ("typedef void (*oh_destroy)", "oh_destroy: this type of a callback"), ("#define OH_FOREVER", "OH_FOREVER: this constant")]:
            with self.subTest(name):
                code, said = self.check(self.naked(before))
                self.assertEqual(code, 1, said)
                self.assertIn(name, said)

    def test_parameter_that_there_is_none_of(self):
        code, said = self.check(HEADER.replace("@param change  what changed.", "@param that  what changed."))
        self.assertEqual(code, 1, said)
        self.assertIn("oh_network_report: its documentation has @param that", said)

    def test_item_that_no_page_is_for(self):
        header = HEADER.replace("uint32_t oh_get_abi_version(void);", "uint32_t oh_get_abi_version(void);\n\n/**\n * New.\n */\nOH_API void oh_zebra(void);")
        code, said = self.check(header)
        self.assertEqual(code, 1, said)
        self.assertIn("oh_zebra: no page", said)

    def test_shape_that_is_not_understood_is_no_shape_to_skip(self):
        with self.assertRaises(cheader.NotUnderstood):
            cheader.parse(HEADER.replace("uint32_t oh_get_abi_version(void);", "uint32_t oh_get_abi_version(void);\ninline int what is this"))


class Pages(Case):
    def test_links(self):
        pages = {"a.html": '<h1 id="x"></h1><a href="b/c.html"><a href="b/">', "b/c.html": '<a href="../a.html#x"><a href="../a.html#y">'
                 '<a href="d.html"><a href="#z"><img src="../p.svg"><a href="https://example.com/">', "b/index.html": "", "p.svg": None}
        wrong = list(docs.check_links(pages))
        self.assertEqual(len(wrong), 3, wrong)
        for word in "a.html#y", "d.html", "#z":
            self.assertTrue(any(word in w for w in wrong), word)

    def test_nothing_is_loaded_from_elsewhere(self):
        good = '<a href="https://example.com/"><script src="assets/a.js"></script><link rel="stylesheet" href="a.css">'
        self.assertEqual(list(docs.external({"a.html": good, "a.js": None})), [])
        for bad in ('<script src="https://example.com/a.js">', '<link href="//example.com/a.css" rel="stylesheet">',
                    '<img alt="" src="http://example.com/a.png">'):
            self.assertEqual(len(list(docs.external({"a.html": bad}))), 1, bad)

    def test_cells_have_the_titles_of_their_columns(self):
        head = "<table><thead><tr><th>%s</th><th>b <code>c</code></th></tr></thead><tbody>"
        row = '<tr><td>1</td><td style="x">2</td></tr></tbody></table>'
        self.assertEqual(docs.labelled(head % "" + row), head % "" + '<tr><td>1</td><td data-label="b c" style="x">2</td></tr></tbody></table>')
        self.assertEqual(docs.labelled("<table><thead><tr><th></th></tr></thead><tbody>" + row), "<table><tbody>" + row)

    def prose(self):
        return docs.Prose(docs.Reference(cheader.parse(HEADER)), {"docs/guides/x.md": "guides/x.md", "docs/abi.md": "documents/abi.md"})

    def test_included_section(self):
        prose = self.prose()
        other = self.work / "README.md"
        other.write_text("# Go\n\nno\n\n## First call\n\n```go\n# not a heading\n```\n\n[there](more.md)\n\n### Below\n\nyes\n\n## Next\n\nno\n")
        (self.work / "more.md").write_text("more")
        where = os.path.relpath(other, ROOT)
        section = prose.section(f"{where}#first-call")
        self.assertIn("# not a heading", section)
        self.assertIn("### Below\n\nyes", section)
        self.assertNotIn("no\n", section.replace("not", ""))
        self.assertIn(os.path.relpath(self.work / "more.md", ROOT), section)
        other.write_text("# Go\n\n## A first call in five minutes\n\nyes\n\n## Next\n\nno\n")
        self.assertEqual(prose.section(f"{where}#first-call").strip(), "yes")
        self.assertEqual(prose.section("bindings/nowhere/README.md#first-call"), "")
        with self.assertRaises(SystemExit):
            prose.section(f"{where}#second-call")

    def test_names_and_files_become_links_and_a_lost_link_fails(self):
        prose = self.prose()
        guide = self.work / "x.md"
        abi, call = (os.path.relpath(ROOT / f, self.work) for f in ("docs/abi.md", "examples/call.c"))
        guide.write_text("# X `oh_call`\n\n`oh_call_join()` and `oh_call_options.renew_token`.\n\n<!-- include bindings/nowhere/README.md#a -->\n"
                         f"\n[the `ABI`]({abi}#results), [`call.c`]({call})\n\n```c run=x\n`oh_call_join`\n```\n")
        text = prose.page(guide, "guides/x.md")
        self.assertIn("# X `oh_call`\n", text)
        self.assertIn("[`oh_call_join()`](../reference/c/call.md#oh_call_join)", text)
        self.assertIn("[`oh_call_options.renew_token`](../reference/c/call.md#oh_call_options.renew_token)", text)
        self.assertIn("[the `ABI`](../documents/abi.md#results), `call.c`\n", text)
        self.assertIn("```c\n`oh_call_join`\n```", text)
        guide.write_text("# X\n\n[lost](nothing.md)\n")
        with self.assertRaises(SystemExit):
            prose.page(guide, "guides/x.md")

    def test_reference_has_every_item_and_escapes_what_is_no_markup(self):
        reference = docs.Reference(cheader.parse(HEADER))
        pages = "\n".join(body for _, _, body in reference.pages())
        for item in cheader.parse(HEADER):
            self.assertIn(f"{{ #{item.name} ", pages)
        self.assertEqual(reference.prose("a_b *c* <d> `e_f` oh_call_join.", "reference/c/call.md"),
                         r"a\_b \*c\* \<d\> `e_f` [`oh_call_join`](#oh_call_join).")


class Bindings(Case):
    def test_go(self):
        page = api.go_pages("package offhook // import \"x\"\n\nWhat it is.\n\n    code()\n\nFUNCTIONS\n\nfunc A(b int) error\n    A does_it.\n\nTYPES\n\n"
                            "type T struct {\n\tX int\n}\n    T is one.\n\nfunc (t *T) M()\n    M too.\n")[0].text
        for piece in ("```go\ncode()\n```", "### A { #A }", "A does\\_it.", "## T { #T }", "    X int", "### T.M { #T.M }", "M too."):
            self.assertIn(piece, page)

    def test_swift(self):
        text = ("/// One.\npublic struct S: Sendable {\n  /// Two.\n  public func f(\n    _ a: Int\n  ) throws {\n    let hidden = 1\n  }\n"
                "  var secret: Int { 1 }\n  public enum E {\n    case one  // why\n  }\n}\n/// Three.\nextension S {\n  public var g: Int { 2 }\n}\n")
        self.assertEqual(list(api.swift_declarations(text)),
                         [("", "struct S: Sendable", "One.", "S"), ("S", "func f( _ a: Int ) throws", "Two.", None), ("S", "enum E", "", "E"),
                          ("S.E", "case one", "", None), ("S", "var g: Int", "", None)])

    def test_every_public_name_of_the_bindings_is_on_a_page(self):
        python = "\n".join(p.text for p in api.python())
        for name in ("Client", "Call", "Track", "AudioFrame", "Joined", "WouldDeadlockError", "shutdown"):
            self.assertIn(f"::: offhook.{name}\n", python)
        swift = api.swift()[0].text
        for name in ("Client", "Call", "AudioTrack", "CallOptions", "Library"):
            self.assertIn(f"### {name} {{ #{name} }}", swift)
        try:
            cpp = "\n".join(p.text for p in api.cpp())
        except api.Missing as why:
            self.skipTest(str(why))
        for name in ("call_ref", "client", "track", "call_options", "result", "errc"):
            self.assertIn(f"{{ #{name} }}", cpp)

    def test_long_declarations_are_folded(self):
        self.assertEqual(api.folded("short()"), "short()")
        self.assertEqual(api.folded("f(std::pair<int, int> a, g(b, c) d) const;", 10), "f(\n    std::pair<int, int> a,\n    g(b, c) d) const;")


class Words(Case):
    def found(self, path, text):
        return [(line, what.partition(":")[0]) for line, what in vocabulary.look(path, text)]

    def test_phrases_are_found_everywhere_and_words_in_prose(self):
        self.assertEqual(self.found("docs/x.md", "a\nThe track is on\nthe air.\n"), [(2, "'on the air'")])
        self.assertEqual(self.found("docs/x.md", "It is told.\n`told` `door.rs`\n```c\nsound told\n```\nno Sound\n"),
                         [(1, "'told'"), (6, "'Sound'")])
        self.assertEqual(self.found("examples/x.c", "int n; /* is found\n * again */\n"), [(1, "'found * again'")])
        self.assertEqual(self.found("src/x.rs", "// on the air, told\n"), [(1, "'on the air'")])
        self.assertEqual(self.found("Makefile", "# parted by spaces\n"), [(1, "'parted by spaces'")])

    def test_words_in_identifiers_are_found(self):
        rust = "// told\nlet a = \"told\";\nfn is_told() {}\nstruct OldDoor;\nconst LOSS_TOLD: u8 = 0; // is_told\nearly indoors\n"
        self.assertEqual(self.found("src/x.rs", rust), [(3, "'is_told'"), (4, "'OldDoor'"), (5, "'LOSS_TOLD'")])
        self.assertEqual(self.found("tests/x.py", '"""heard"""\nheard = 1  # heard\n'), [(2, "'heard'")])
        self.assertEqual(self.found("docs/x.md", "`is_told`\n"), [])

    def test_names_are_not_words(self):
        self.assertEqual(self.found("docs/x.md", "sounddevice, [x](a/sound.md), told_it, indoors, soundness, `sound`\n"), [])

    def test_a_file_with_a_planted_word_fails(self):
        path = self.work / "README.md"
        for text, code in ("plain\n", 0), ("the callback hears what\nhappens\n", 1):
            path.write_text(text)
            done = subprocess.run([sys.executable, ROOT / "scripts/check-words.py", os.path.relpath(path, ROOT)],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, code, done.stderr)


class Guides(Case):
    def run_guide(self, text, seconds=None):
        os.environ.setdefault("OFFHOOK_SFU_URL", "http://127.0.0.1:9")
        file = self.work / "guide.md"
        file.write_text(text)
        guide = guides.Guide(file, self.work)
        out, sys.stdout = sys.stdout, open(self.work / "out", "w")
        try:
            wrong = guide.check()
        finally:
            sys.stdout.close()
            sys.stdout = out
        return wrong, (self.work / "out").read_text()

    def expect(self, text, *words):
        wrong, said = self.run_guide(text)
        self.assertEqual(wrong, 1 if words else 0, said)
        for word in words:
            self.assertIn(word, said)

    def test_block_without_a_tag(self):
        for language in "c", "cpp", "go", "python", "swift", "sh":
            self.expect(f"```{language}\nx\n```\n", "without an instruction", "guide.md:1")
        self.expect("```c text\nx\n```\n\n```console text\n$ x\n```\n\n```\nx\n```\n\n```text\nx\n```\n")

    def test_programs_that_fail(self):
        self.expect("```python run=a\nprint('said')\nraise SystemExit(3)\n```\n", "ended with 3", "said")
        self.expect("```sh run=a\nfalse\ntrue\n```\n", "ended with 1")
        self.expect("```python run=a seconds=1\nimport time\ntime.sleep(60)\n```\n", "no end within 1 s")
        self.expect("```rust run=a\nfn main() {}\n```\n", "cannot run rust")

    def test_url_is_put_in(self):
        self.expect("```python run=a\nimport sys\nassert 'http://127.0.0.1:8080' == sys.argv[1]\n```\n")

    def test_output(self):
        program = "```python run=a\nprint('one 17')\nprint('two')\n```\n\n"
        self.expect(program + "```text output=a\none …\ntwo\n```\n")
        self.expect(program + "```text output=a\ntwo\none …\n```\n", "a does not print 'one …'")
        self.expect(program + "```text output=a\none\n```\n", "a does not print 'one'")
        self.expect("```text output=a\none\n```\n", "nothing named a was run")

    def test_part(self):
        program = "```python run=a\nif True:\n    x = 1\n    y = 2\n```\n\n"
        self.expect(program + "```python part=a\nx = 1\ny = 2\n```\n")
        self.expect(program + "```python part=a\nx = 1\nz = 2\n```\n", "is not in a")
        self.expect("```c part=examples/call.c\noh_client_new(&where, &client)\n```\n", "is not in examples/call.c")
        self.expect("```c part=examples/none.c\nx\n```\n", "no program and no file examples/none.c")

    def test_every_guide_has_something_to_run_or_to_read(self):
        for file in (ROOT / "docs/guides").glob("*.md"):
            self.assertTrue(re.match(r"# \S", file.read_text()), f"{file} has no title")


if __name__ == "__main__":
    unittest.main(verbosity=1)
