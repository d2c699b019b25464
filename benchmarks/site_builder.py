"""MkDocs in a process of its own, and the policy that each built page carries."""

import base64
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from registry.errors import UserError

LIMIT_SECONDS = 300
MARKER = "netcompress-site.txt"
"""Stands in a built site, so that another folder is never replaced by mistake."""
INLINE_SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.DOTALL)
ALIGNED_CELL = re.compile(r'<(t[dh])([^<>]*?) style="text-align: (left|right|center);"')
POLICY = (
    "default-src 'none'; script-src 'self'{hashes}; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; frame-src 'self'; base-uri 'none'; "
    "form-action 'self'; object-src 'none'"
)


def run_mkdocs(configuration: Path) -> str:
    """Build; what MkDocs printed comes back.

    Raises:
        UserError: it failed or took too long; with the end of what it printed.
    """
    command = [sys.executable, "-P", "-m", "mkdocs", "build", "-q", "-f", str(configuration)]
    environment = dict(os.environ) | {"NO_MKDOCS_2_WARNING": "1"}
    try:
        built = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            env=environment,
            cwd=configuration.parent,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"MkDocs took longer than {LIMIT_SECONDS} s and was stopped") from error
    printed = built.stdout + built.stderr
    if built.returncode != 0:
        end = "\n".join(printed.strip().splitlines()[-8:])
        raise UserError(f"MkDocs could not build the site; the old one stands. It said:\n{end}")
    return printed


def seal(site: Path) -> None:
    """Give each page its policy: scripts of the site's own files, and its inline ones by digest.

    The theme asks for the search index as a script where a page is opened from a disk.
    """
    index = site / "search" / "search_index.json"
    if index.is_file():
        script = f"var __index = {index.read_text(encoding='utf-8')}"
        index.with_suffix(".js").write_text(script, encoding="utf-8")
    for path in sorted(site.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        path.write_text(with_policy(text), encoding="utf-8", newline="\n")
    (site / MARKER).write_text("Built by `netcompress site build`.\n", encoding="utf-8")


def with_policy(page: str) -> str:
    """The page with a Content-Security-Policy before anything that loads."""
    digests = []
    for match in INLINE_SCRIPT.finditer(page):
        if "src=" not in match["attributes"] and "application/json" not in match["attributes"]:
            digest = hashlib.sha256(match["text"].encode("utf-8")).digest()
            digests.append(f" 'sha256-{base64.b64encode(digest).decode('ascii')}'")
    policy = POLICY.format(hashes="".join(dict.fromkeys(digests)))
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    # Markdown aligns cells by inline styles, which the policy forbids.
    page = ALIGNED_CELL.sub(r'<\1\2 align="\3"', page)
    return page.replace("<head>", f"<head>{meta}", 1)
