"""Records that mean harm or make slips, each with the fault that must be told of it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NAME = "2016-hostile.yaml"

RECORD = """\
# yaml-language-server: $schema=paper.schema.json
id: 2016-hostile
title: A hostile record
year: 2016
authors: [Ada Lovelace, Alan Turing]
venue: Proceedings of Nothing
citation: {type: misc, key: lovelace2016}
links:
  - {kind: paper, url: "https://example.org/paper"}
techniques: [pruning]
platforms: [software]
network_type: cnn
summary: It cuts what is small.
method: hostile
benchmarks: [mnist-lenet-300-100]
runs:
  - {name: one, title: One run, benchmark: mnist-lenet-300-100}
claims:
  - id: first
    statement: The error is small.
    where: {text: Table 1}
    check: measured
    evidence: read
    unit: percent
    reported: "1.5"
    benchmark: mnist-lenet-300-100
    metric: error
  - id: second
    statement: The file is small.
    where: {text: Table 2}
    check: measured
    evidence: read
    unit: ratio
    reported: "2.0"
    counting: file
    benchmark: mnist-lenet-300-100
    metric: file_ratio
  - id: third
    statement: The error of the reference is small.
    where: {text: Table 3}
    check: measured
    evidence: read
    unit: percent
    reported: "1.4"
    benchmark: mnist-lenet-300-100
    metric: reference_error
"""


@dataclass(frozen=True)
class Case:
    """How to make the file at a path, and which fault must come: line, field and message."""

    make: Callable[[Path], None]
    line: int
    field: str
    message: str


CASES: dict[str, Case] = {}


def content(name: str, data: bytes, line: int, field: str, message: str) -> None:
    assert name not in CASES
    CASES[name] = Case(lambda path: _write(path, data), line, field, message)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def swap(name: str, old: str, new: str, field: str, message: str, *, below: int = 0) -> None:
    """The record with its first ``old`` replaced; the fault is ``below`` lines below there."""
    assert old in RECORD, old
    at = RECORD.index(old)
    line = RECORD.count("\n", 0, at) + 1 + below
    text = RECORD[:at] + new + RECORD[at + len(old) :]
    content(name, text.encode("utf-8", errors="surrogatepass"), line, field, message)


def top(name: str, extra: str, field: str, message: str, *, below: int = 0) -> None:
    """The record with lines added at its end."""
    line = RECORD.count("\n") + 1 + below
    content(name, (RECORD + extra).encode(), line, field, message)


# keys and types
top("unknown-key", "titel: x\n", "titel", "unknown key 'titel' (did you mean 'title'?)")
swap("unknown-key-deep", "unit: percent", "unti: percent", "claims[0].unti", "did you mean 'unit'?")
top("unknown-long-key", f"? {'k' * 1000}\n: x\n", f"['{'k' * 60}…']", "unknown key 'kkk")
swap("missing-key", "method: hostile\n", "", "method", "is missing", below=2 - 14)
swap("duplicate-key", "year: 2016", "year: 2016\nyear: 2017", "year", "on line 4 and on line 5",
     below=1)  # fmt: skip
swap("duplicate-flow-key", "kind: paper", "kind: paper, kind: pdf", "links[0].kind", "stands twice")
swap("duplicate-claim", "id: second", "id: first", "claims[1].id", "'first' stands twice")
swap("number-for-text", "title: A hostile record", "title: 5", "title", "text is expected here")
swap("unquoted-number", '"1.5"', "1.5", "claims[0].reported", "1.5: put it in quotes")
swap("text-for-number", "year: 2016", 'year: "2016"', "year", "a whole number is expected here")
swap("truth-for-number", "year: 2016", "year: true", "year", "not the value true")
swap("fraction-for-year", "year: 2016", "year: 2016.0", "year", "a whole number is expected here")
swap("text-for-list", "techniques: [pruning]", "techniques: pruning", "techniques", "a list is")
swap("list-for-mapping", "where: {text: Table 1}", "where: [1]", "claims[0].where", "a mapping of")
swap("mapping-for-text", "venue: Proceedings of Nothing", "venue: {a: b}", "venue", "not a mapping")
swap("null-for-text", "venue: Proceedings of Nothing", "venue:", "venue", "text is expected here")
swap("unknown-literal", "check: measured", "check: mesured", "claims[0].check", "mean 'measured'?")
swap("two-claims", RECORD[RECORD.index("  - id: third") :], "", "claims", "at least 3 entries",
     below=18 - 38)  # fmt: skip
swap("no-authors", "[Ada Lovelace, Alan Turing]", "[]", "authors", "at least 1 entries")
content("empty", b"", 1, "", "the file is empty")
content("only-comment", b"# nothing\n", 1, "", "the file is empty")
content("list-at-top", b"- a\n- b\n", 1, "", "holds a list at its top")
content("text-at-top", b"just words\n", 1, "", "holds 'just words' at its top")

# years, ids, units, vocabulary
swap("year-too-early", "year: 2016", "year: 1066", "year", "must be at least 1940")
swap("year-too-late", "year: 2016", "year: 20166", "year", "must be at most 2100")
swap("negative-year", "year: 2016", "year: -2016", "year", "must be at least 1940")
swap("id-of-another-file", "id: 2016-hostile", "id: 2016-other", "id", "is not the file's name")
swap("id-with-path", "id: 2016-hostile", "id: ../../etc/passwd", "id", "is not a record's id")
swap("id-with-slash", "id: 2016-hostile", "id: 2016-a/b", "id", "is not a record's id")
swap("id-in-capitals", "id: 2016-hostile", "id: 2016-HOSTILE", "id", "is not a record's id")
swap("id-device", "id: 2016-hostile", "id: CON", "id", "is not a record's id")
swap("id-with-nul", "id: 2016-hostile", 'id: "2016-host\\0ile"', "id", "'2016-host\\u0000ile'")
swap("unknown-unit", "unit: percent", "unit: percnt", "claims[0].unit", "did you mean 'percent'?")
swap("unit-of-another-kind", "unit: percent", "unit: seconds", "claims[0].unit", "does not fit")
swap("unknown-metric", "metric: error", "metric: eror", "claims[0].metric", "did you mean 'error'?")
swap("unknown-benchmark", "[mnist-lenet-300-100]", "[mnist-lenet-300-10]", "benchmarks[0]",
     "did you mean 'mnist-lenet-300-100'?")  # fmt: skip
swap("unknown-run", "metric: error", "metric: error\n    run: two", "claims[0].run", "no run 'two'",
     below=1)  # fmt: skip
swap(
    "wrong-counting", "counting: file", "counting: paper", "claims[1].counting", "counted by 'file'"
)
swap("wrong-check", "check: measured", "check: computed", "claims[0].check", "kind 'arithmetic'")
swap("no-such-table", "{text: Table 1}", "{table: t, row: r, column: c}", "claims[0].where.table",
     "no table 't'")  # fmt: skip
top("forged-source-row", 'source: {row: "| New paper | 2017 |"}\n', "source.row", "byte for byte")
top("template-row", 'source: {row: "| New paper | 2016 | | | | | | | **CNN** |"}\n', "source.row",
    "is the template")  # fmt: skip
top("forged-listing", "source: {listing: {list: Theory, lines: ['- X.']}}\n",
    "source.listing.lines", "do not stand so")  # fmt: skip

# links
for scheme, url in {
    "javascript": "javascript:alert(1)",
    "javascript-mixed": "jAvAsCrIpT:alert(1)",
    "data": "data:text/html;base64,PHNjcmlwdD4=",
    "file": "file:///etc/passwd",
    "ftp": "ftp://example.org/x",
    "vbscript": "vbscript:x",
    "no-scheme": "//example.org/x",
}.items():
    swap(f"link-{scheme}", "https://example.org/paper", url, "links[0].url", "only http and https")
swap("link-user", "https://example.org/paper", "https://good.org@evil.org/", "links[0].url",
     "user name or password")  # fmt: skip
swap("link-without-host", "https://example.org/paper", "https:///x", "links[0].url", "has no host")
swap(
    "link-bad-port", "https://example.org/paper", "https://a:99999/", "links[0].url", "not an addr"
)
swap("link-with-markup", "https://example.org/paper", "https://a/<script>", "links[0].url",
     "percent-encoded")  # fmt: skip
swap("link-with-newline", "https://example.org/paper", "https://a/\\njavascript:x", "links[0].url",
     "no white space")  # fmt: skip
swap("link-beyond-ascii", "https://example.org/paper", "https://exаmple.org/", "links[0].url",
     "beyond ASCII")  # fmt: skip
swap("link-too-long", "https://example.org/paper", f"https://a/{'x' * 600}", "links[0].url",
     "at most 500")  # fmt: skip

# text
for kind, text in {
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)",
    "svg": "a <svg/onload=alert(1)>",
    "closing": "a </title> b",
    "markdown-link": "[x](javascript:alert(1))",
    "template": "{{ 7 * 7 }}",
}.items():
    swap(f"title-{kind}", "A hostile record", f'"{text}"', "title", "markup is not allowed here")
swap("title-newline", "A hostile record", '"two\\nlines"', "title", "character U+000A")
swap("title-block", "A hostile record", "|\n  two\n  lines", "title", "character U+000A")
swap("title-tab", "A hostile record", '"a\\tb"', "title", "character U+0009")
swap("title-escape-code", "A hostile record", '"a\\e[31mb"', "title", "character U+001B")
swap("title-nul", "A hostile record", '"a\\0b"', "title", "character U+0000")
swap("title-bidi", "A hostile record", '"a\\u202Eb"', "title", "character U+202E")
swap("title-zero-width", "A hostile record", '"a\\u200Bb"', "title", "character U+200B")
swap("title-joiner", "A hostile record", '"a\\u200Db"', "title", "character U+200D")
swap("title-private", "A hostile record", '"a\\uE000b"', "title", "character U+E000")
swap("title-unassigned", "A hostile record", '"a\\U000E0FFFb"', "title", "character U+E0FFF")
swap("title-line-separator", "A hostile record", '"a\\u2028b"', "title", "character U+2028")
swap("title-not-nfc", "A hostile record", '"Ko\\u0308nig"', "title", "normal form C")
swap("title-spaces", "A hostile record", '" padded "', "title", "white space")
swap("title-too-long", "A hostile record", "x" * 301, "title", "at most 300 characters")
swap("surrogate-escape", "A hostile record", '"a\\uD800b"', "", "invalid Unicode character escape")
swap("raw-bidi", "A hostile record", "a\u202eb", "", "character U+202E is not allowed in a file")
swap("bidi-in-comment", "year: 2016", "year: 2016 # \u2066", "", "character U+2066 is not allowed")
swap("configuration-escape", "{name: one,", '{name: one, configuration: {a: "\\e[2J"},',
     "runs[0].configuration.a", "character U+001B")  # fmt: skip

# encodings and bytes
content("bom", b"\xef\xbb\xbf" + RECORD.encode(), 1, "", "byte order mark")
content("utf-16", RECORD.encode("utf-16"), 1, "", "UTF-16 is not allowed")
content("utf-16-without-mark", RECORD.encode("utf-16-le"), 1, "", "character U+0000")
content("latin-1", RECORD.replace("Turing", "Türing").encode("latin-1"), 5, "", "byte 0xFC")
content("lone-surrogate", RECORD.encode().replace(b"Turing", b"\xed\xa0\x80"), 5, "", "byte 0xED")
content("overlong", RECORD.encode().replace(b"Turing", b"\xc0\xaf"), 5, "", "byte 0xC0")
content("raw-nul", RECORD.encode().replace(b"Turing", b"Tur\0ing"), 5, "", "character U+0000")
content("raw-escape", RECORD.encode().replace(b"Turing", b"Tur\x1b[2Jing"), 5, "", "U+001B")
content("carriage-returns", RECORD.encode().replace(b"\n", b"\r"), 1, "", "character U+000D")
content("random-bytes", b"\x80\x81\x82" * 1000, 1, "", "byte 0x80")

# numbers and words that YAML versions read differently
for kind, value in {
    "yes": "yes", "off": "off", "capital-true": "TRUE", "hex": "0x7E0", "octal": "03740",
    "octal-new": "0o3740", "binary": "0b11111100000", "sexagesimal": "33:36",
    "date": "2016-02-31", "timestamp": "2016-02-28T01:02:03Z", "exponent": "2e3",
    "infinity": ".inf", "minus-infinity": "-.INF", "nan": ".nan", "underscore": "2_016",
    "plus": "+2016", "bare-fraction": ".5", "equals": "=", "capital-null": "NULL",
}.items():  # fmt: skip
    swap(f"scalar-{kind}", "year: 2016", f"year: {value}", "year", "put it in quotes")
swap("scalar-long", "year: 2016", f"year: {'9' * 5000}", "year", "more than 18 digits")
swap("scalar-long-fraction", "year: 2016", f"year: 1.{'9' * 5000}", "year", "put it in quotes")
swap("scalar-long-hex", "year: 2016", f"year: 0x{'f' * 100000}", "year", "put it in quotes")
for kind, value in {
    "nan": "NaN", "infinity": "Infinity", "huge": "1e999", "words": "about 2", "underscore": "1_0",
    "other-digits": "١٢", "thousands": "1,000",
}.items():  # fmt: skip
    swap(f"reported-{kind}", '"1.5"', f'"{value}"', "claims[0].reported", "not a decimal number")

# what YAML can do
LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
content("billion-laughs", LAUGHS.encode(), 2, "b", "anchors are not allowed (&b)")
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
content("merge-bomb", MERGES.encode(), 3, "c", "merge keys (<<) are not allowed")
top("self-alias", "loop: &l [*l]\n", "loop[0]", "aliases are not allowed (*l)")
top("alias-as-key", "? *k\n: x\n", "", "aliases are not allowed (*k)")
swap("anchor", "A hostile record", "&t A hostile record", "title", "anchors are not allowed (&t)")
swap("merge-key", "{text: Table 1}", "{<<: {a: b}, text: T}", "claims[0].where", "merge keys")
swap("unknown-tag", "A hostile record", "!evil x", "title", "tags are not allowed ('!evil')")
swap("python-tag", "A hostile record", "!!python/object/apply:os.system [id]", "title",
     "tags are not allowed ('tag:yaml.org,2002:python/object/apply:os.system')")  # fmt: skip
swap("known-tag", "year: 2016", "year: !!int 2016", "year", "tags are not allowed")
swap("binary-tag", "A hostile record", "!!binary aGVsbG8=", "title", "tags are not allowed")
content("directive", b"%TAG ! tag:evil,2016:\n---\n" + RECORD.encode(), 1, "", "directives (%)")
top("second-document", "---\nid: 2016-second\n", "", "a second document")
top("list-as-key", "? [a, b]\n: x\n", "", "a key must be text")
top("flow-13-deep", f"x: {'[' * 13}{']' * 13}\n", "x" + "[0]" * 11, "nested more than 12 deep")
top("deep-flow", f"x: {'[' * 1000}{']' * 1000}\n", "", "nested more than 12 deep")
top("deeper-flow", f"x: {'[' * 20000}\n", "", "nested more than 12 deep")
top("deep-mapping", f"x: {'{a: ' * 1000}b{'}' * 1000}\n", "x" + ".a" * 11, "nested more than 12")
top("deep-block", "x:\n" + "".join(f"{' ' * n}- \n" for n in range(1, 400)), "x" + "[0]" * 11,
    "nested more than 12 deep", below=12)  # fmt: skip
top("many-parts", f"x: [{','.join(['a'] * 30000)}]\n", "", "more than 20,000 parts")
top("many-keys", "".join(f"k{n}: x\n" for n in range(3000)), "k0", "unknown key 'k0'")
content("large", RECORD.encode() + b"# " + b"x" * 10_000_000, 0, "", "larger than 262,144 bytes")
content("long-key", RECORD.encode() + b"k" * 100_000 + b": x\n", 47, "", "not YAML")
top("unclosed-quote", 'x: "abc\n', "", "not YAML", below=1)
top("unclosed-bracket", "x: [a, b\n", "", "not YAML", below=1)
top("tab-indent", "x:\n\t- a\n", "", "not YAML", below=1)
top("bad-indent", "x:\n    a: b\n  c: d\n", "", "not YAML", below=2)
top("bare-percent", "x: %a\n", "", "not YAML")
swap("no-schema-line", "# yaml-language-server: $schema=paper.schema.json", "# hello", "",
     "the first line must be")  # fmt: skip


# things that are no plain file
def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 31)


CASES["two-gigabytes"] = Case(_sparse, 0, "", "larger than 262,144 bytes")
CASES["folder"] = Case(_folder, 0, "", "not a regular file")
CASES["pipe"] = Case(_pipe, 0, "", "not a regular file")
CASES["device"] = Case(_device, 0, "", "not a regular file")
CASES["link-to-itself"] = Case(_loop, 0, "", "cannot be read")
CASES["absent"] = Case(lambda path: None, 0, "", "cannot be read: No such file")
