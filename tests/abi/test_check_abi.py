#!/usr/bin/env python3
"""Tests of scripts/check-abi.py: changes are planted in a copy of the header, and the checker must name each of them.

The library is a stub that exports the functions of the planted header; only cc is needed.
"""

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


def change(text, old, new, count=1):
    """The text with one place changed, which must exist."""
    assert old in text, f"{old!r} is not in the header any more: change this test"
    return text.replace(old, new, count)


def without(text, pattern):
    new, n = re.subn(pattern, "", text, count=1, flags=re.S)
    assert n == 1, f"{pattern!r} is not in the header any more: change this test"
    return new


class Checker(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(dir=ROOT / "target" if (ROOT / "target").exists() else None))
        self.addCleanup(shutil.rmtree, self.work)
        self.dumps = self.work / "abi"
        # The recorded interface is that of the present header, so that these tests do not depend on the state of abi/.
        code, said = self.check(HEADER, "--write")
        self.assertEqual(code, 0, said)

    def check(self, header, *options, abi="1", soname=None, versions=True, extra=""):
        """Runs the checker on a header and a stub library for it. Returns its exit code and output."""
        path = self.work / "offhook.h"
        path.write_text(header)
        bodies = "".join(
            f"{i.type} {i.name}({', '.join(f'{m.type} {m.name}' for m in i.members) or 'void'}) {{ {'return' if i.type == 'void' else 'return 0'}; }}\n"
            for i in cheader.parse(header) if i.kind == "function")
        (self.work / "stub.c").write_text('#include "offhook.h"\n' + bodies + extra)
        (self.work / "map").write_text(f"OFFHOOK_{abi} {{ global: oh_*; local: *; }};")
        lib = self.work / "stub.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-w", self.work / "stub.c", "-o", lib,
                        f"-Wl,-soname,liboffhook.so.{soname or abi}",
                        *([f"-Wl,--version-script={self.work / 'map'}"] if versions else [])], check=True)
        done = subprocess.run([sys.executable, ROOT / "scripts/check-abi.py", "--header", path, "--lib", lib,
                               "--dump-dir", self.dumps, *options], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def breaks(self, header, *words, **options):
        """It must fail with these words, and --write must not help."""
        for write in [], ["--write"]:
            code, said = self.check(header, *write, **options)
            self.assertEqual(code, 1, said)
            for word in words:
                self.assertIn(word, said)

    def adds(self, header, word):
        """It must require --write, name the addition, and succeed after --write."""
        code, said = self.check(header)
        self.assertEqual(code, 1, said)
        self.assertIn("does not have", said)
        self.assertIn(word, said)
        self.assertEqual(self.check(header, "--write")[0], 0)
        self.assertIn(word, (self.dumps / "offhook-1.abi").read_text())
        code, said = self.check(header)
        self.assertEqual(code, 0, said)

    def test_nothing_changed(self):
        code, said = self.check(HEADER)
        self.assertEqual(code, 0, said)
        self.assertIn("ok ABI 1: ", said)

    def test_comments_and_names_of_parameters_are_no_part_of_it(self):
        header = change(HEADER, "oh_result oh_network_report(oh_network_change change);", "oh_result oh_network_report(oh_network_change news);")
        code, said = self.check(change(header, "/** Success. */", "/** All is well. */"))
        self.assertEqual(code, 0, said)

    # Breaking changes.

    def test_removed_function(self):
        self.breaks(without(HEADER, r"OH_API oh_result oh_network_report\([^;]*;"), "function oh_network_report was removed")

    def test_removed_value(self):
        self.breaks(change(HEADER, "    OH_LOG_TRACE = 5,\n", ""), "OH_LOG_TRACE was removed")

    def test_changed_value(self):
        self.breaks(change(HEADER, "OH_ERR_HANDLE = -2,", "OH_ERR_HANDLE = -200,"), "OH_ERR_HANDLE changed", "-200")

    def test_number_given_to_something_else(self):
        self.breaks(change(HEADER, "OH_LOG_TRACE = 5,", "OH_LOG_TRACE = 5,\n    OH_LOG_FUSS = 4,"),
                    "OH_LOG_FUSS has the number of OH_LOG_DEBUG")

    def test_changed_signature(self):
        self.breaks(change(HEADER, "oh_shutdown_wait(uint32_t timeout_ms)", "oh_shutdown_wait(uint64_t timeout_ms)"),
                    "function oh_shutdown_wait changed", "(uint64_t)")

    def test_changed_result(self):
        self.breaks(change(HEADER, "uint32_t oh_get_abi_version(void);", "uint64_t oh_get_abi_version(void);"), "oh_get_abi_version changed")

    def test_changed_callback(self):
        self.breaks(change(HEADER, "typedef void (*oh_log_handler)(void *user_data, const oh_log_record *record);",
                           "typedef void (*oh_log_handler)(const oh_log_record *record, void *user_data);"),
                    "callback oh_log_handler changed")

    def test_field_in_the_middle(self):
        self.breaks(change(HEADER, "    oh_bool pull_audio;", "    oh_bool planted;\n    oh_bool more;\n    oh_bool pull_audio;"),
                    "field oh_call_options.planted is at", "field oh_call_options.pull_audio changed")

    def test_field_removed(self):
        self.breaks(change(HEADER, "    oh_bool ring;\n", "    oh_bool other;\n"), "field oh_call_options.ring was removed")

    def test_field_of_another_type(self):
        self.breaks(change(HEADER, "    uint32_t buffer_ms;", "    int32_t buffer_ms;"), "oh_audio_track_options.buffer_ms changed")

    def test_smaller_struct(self):
        self.breaks(without(HEADER, r"    uint64_t data_unsent;\n"), "oh_call_stats is smaller")

    def test_handle_that_grows(self):
        self.breaks(change(HEADER, "    uint64_t id;\n} oh_track;", "    uint64_t id;\n    uint64_t more;\n} oh_track;"),
                    "struct oh_track does not begin with its size")

    def test_type_that_becomes_another(self):
        self.breaks(change(HEADER, "typedef uint32_t oh_bool;", "typedef int32_t oh_bool;"), "type oh_bool changed")

    def test_struct_by_value_inside_of_another(self):
        self.breaks(change(HEADER, "    const oh_call_handlers *handlers;", "    oh_call_handlers handlers;"),
                    "field oh_call_options.handlers holds a structure by value")

    def test_array_of_structs(self):
        self.breaks(change(HEADER, "    const oh_pin *const *pins;", "    const oh_pin *pins;"), "field oh_event_pins.pins is an array of oh_pin")

    def test_padding(self):
        self.breaks(change(HEADER, "    uint64_t data_unsent;\n} oh_call_stats;",
                           "    uint64_t data_unsent;\n    uint32_t planted;\n} oh_call_stats;"), "oh_call_stats has padding at its end")

    def test_struct_without_size(self):
        self.breaks(change(HEADER, "typedef struct oh_pin {", "typedef struct oh_dot {\n    uint32_t x, y;\n} oh_dot;\n\ntypedef struct oh_pin {"
                           .replace("x, y", "x;\n    uint32_t y")), "struct oh_dot does not begin with its size")

    def test_lost_versions(self):
        self.breaks(HEADER, "symbols have the version none", versions=False)

    def test_soname_and_number_apart(self):
        self.breaks(change(HEADER, "#define OH_ABI_VERSION 1", "#define OH_ABI_VERSION 2"), "the SONAME liboffhook.so.1")
        self.breaks(HEADER, "the SONAME liboffhook.so.7", soname="7")

    def test_exported_and_not_declared(self):
        self.breaks(HEADER, "exported, but not in the header: oh_secret", extra="int oh_secret(void) { return 0; }\n")

    # Compatible changes.

    def test_new_function(self):
        self.adds(change(HEADER, "OH_API uint32_t oh_get_abi_version(void);",
                         "OH_API uint32_t oh_get_abi_version(void);\nOH_API uint32_t oh_planted(void);"),
                  "function oh_planted = OFFHOOK_1 uint32_t (void)")

    def test_new_value(self):
        self.adds(change(HEADER, "OH_LOG_TRACE = 5,", "OH_LOG_TRACE = 5,\n    OH_LOG_FUSS = 6,"), "OH_LOG_FUSS = 6")

    def test_new_field_at_the_end_of_a_struct_with_size(self):
        self.adds(change(HEADER, "    uint64_t data_unsent;\n} oh_call_stats;", "    uint64_t data_unsent;\n    uint64_t planted;\n} oh_call_stats;"),
                  "field oh_call_stats.planted")

    def test_reserved_field_is_used(self):
        header = re.sub(r"(typedef struct oh_data_options \{.*?)uint32_t reserved;\n\}", r"\1uint32_t planted;\n}", HEADER, flags=re.S)
        self.adds(header, "field oh_data_options.planted")

    def test_structs_of_events_grow(self):
        self.adds(change(HEADER, "    oh_bool local;\n} oh_participant;", "    oh_bool local;\n    const char *planted;\n} oh_participant;"),
                  "field oh_participant.planted")

    def test_structs_of_arrays_grow(self):
        self.adds(change(HEADER, "    const char *session_id;\n} oh_pin;", "    const char *session_id;\n    uint64_t more;\n} oh_pin;"),
                  "field oh_pin.more")

    def test_new_kind_of_event(self):
        header = change(HEADER, "    OH_EVENT_ICE_SERVER = 34,", "    OH_EVENT_ICE_SERVER = 34,\n    OH_EVENT_PLANTED = 35,")
        header = change(header, "} oh_event_payload;", "    const void *planted;\n} oh_event_payload;")
        self.adds(header, "field oh_event_payload.planted")

    def test_the_version_is_no_part_of_it(self):
        code, said = self.check(change(HEADER, "#define OH_VERSION_MINOR 1", "#define OH_VERSION_MINOR 2"))
        self.assertEqual(code, 0, said)

    def test_another_abi_may_be_anything(self):
        header = change(HEADER, "#define OH_ABI_VERSION 1", "#define OH_ABI_VERSION 2")
        header = without(header, r"OH_API oh_result oh_network_report\([^;]*;")
        code, said = self.check(header, abi="2")
        self.assertEqual(code, 1)
        self.assertIn("offhook-2.abi is missing", said)
        self.assertEqual(self.check(header, "--write", abi="2")[0], 0)
        self.assertEqual(self.check(header, abi="2")[0], 0)
        self.assertNotIn("oh_network_report", (self.dumps / "offhook-2.abi").read_text())


if __name__ == "__main__":
    unittest.main(verbosity=1)
