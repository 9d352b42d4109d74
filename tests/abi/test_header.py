#!/usr/bin/env python3
"""Checks statements of include/offhook.h that its text alone can show: names that exist, units, waits, order, words."""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import cheader  # noqa: E402

HEADER = cheader.HEADER.read_text()
ITEMS = cheader.parse(HEADER)
BY_NAME = {i.name: i for i in ITEMS}
RECORDS = [i for i in ITEMS if i.kind in ("struct", "union")]
FUNCTIONS = [i for i in ITEMS if i.kind == "function"]
VALUES = {m.name for i in ITEMS if i.kind == "enum" for m in i.members}
MEMBERS = {f"{i.name}.{m.name}" for i in RECORDS for m in i.members}
# Macros that comments may name although the parser does not list them.
FAMILIES = {"OH_INIT", "OH_API", "OH_STATIC", "OH_ENUM"}


class Header(unittest.TestCase):
    def test_every_name_in_a_comment_exists(self):
        for comment in re.findall(r"/\*.*?\*/", HEADER, re.S):
            for name in re.findall(r"\b(?:oh|OH)_\w+(?:\.\w+)?", comment):
                head, _, member = name.partition(".")
                known = name in MEMBERS or (head in BY_NAME or head in VALUES or head in FAMILIES) and not (
                    member and head in BY_NAME and BY_NAME[head].kind in ("struct", "union"))
                self.assertTrue(known, f"{name} is in a comment, and not in the header")

    def test_what_takes_a_timeout_says_so_in_its_name(self):
        for f in FUNCTIONS:
            waits = any(m.name == "timeout_ms" for m in f.members)
            self.assertEqual(waits, "_wait" in f.name, f.name)

    def test_parameters_are_documented_and_results_named(self):
        for f in FUNCTIONS:
            documented = re.findall(r"^@param (\w+)", f.doc, re.M)
            names = [m.name for m in f.members]
            self.assertEqual(documented, [n for n in names if n in documented], f.name)
            if f.type == "oh_result":
                self.assertRegex(f.doc, r"@return", f.name)
                for code in re.findall(r"\bOH_(?:OK|ERR)\w*", f.doc):
                    self.assertIn(code, VALUES, f.name)

    def test_numbers_with_a_unit_have_it_in_their_name(self):
        ends = {"ms": "_ms", "Hz": "_hz", "bit/s": "_bps"}
        for record in RECORDS:
            for m in record.members:
                if not re.fullmatch(r"u?int\d+_t|float", m.type):
                    continue
                first = m.doc.split(".")[0]
                for unit, end in ends.items():
                    if re.search(rf"\bin {re.escape(unit)}\b", first):
                        self.assertTrue(m.name.endswith(end), f"{record.name}.{m.name}: {first}")
                if first.startswith("Milliseconds"):
                    self.assertTrue(m.name.endswith("_ms"), f"{record.name}.{m.name}")

    def test_truth_values_and_lengths_have_one_type(self):
        for item in ITEMS:
            for m in item.members:
                where = f"{item.name}.{m.name}"
                self.assertNotIn("on-zero:", m.doc, where)
                if m.name in ("size", "frames") or m.name.endswith(("_size", "_count")) or m.name == "length":
                    self.assertIn(m.type, ("size_t", "size_t *"), where)
                self.assertNotIn(m.type, ("bool", "int", "long", "unsigned"), where)

    def test_every_structure_but_handles_begins_with_its_size(self):
        for record in RECORDS:
            names = [m.name for m in record.members]
            if record.kind == "struct" and names != ["id"]:
                self.assertEqual(names[0], "size", record.name)
                self.assertIn(f"sizeof({record.name})", record.members[0].doc)
            if record.kind == "union":
                self.assertTrue(all(m.type.endswith("*") for m in record.members), record.name)

    def test_types_stand_before_functions_in_each_section(self):
        for section in re.split(r"^/\* -------- .*$", HEADER, flags=re.M)[1:]:
            first = section.find("\nOH_API ")
            if first >= 0:
                self.assertIsNone(re.search(r"^(?:typedef|OH_ENUM)", section[first:], re.M), section[:60])

    def test_nothing_for_rust_reaches_c(self):
        for word in ("# Safety", "unsafe", "cbindgen"):
            self.assertNotIn(word, HEADER.replace("generated", ""))

    def test_version(self):
        version = re.search(r'^version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.assertIn(f'#define OH_VERSION "{version}"', HEADER)

    def test_every_event_names_its_member(self):
        members = {m.name for m in BY_NAME["oh_event_payload"].members}
        kinds = {m.name for m in BY_NAME["oh_event_kind"].members}
        said = {k for m in BY_NAME["oh_event_payload"].members for k in re.findall(r"OH_EVENT_\w+", m.doc)}
        self.assertEqual(kinds, said)
        for value in BY_NAME["oh_event_kind"].members:
            named = re.match(r"`(\w+)`:|No member:", value.doc)
            self.assertTrue(named and (named[1] is None or named[1] in members), value.name)


if __name__ == "__main__":
    unittest.main(verbosity=1)
