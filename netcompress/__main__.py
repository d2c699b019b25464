"""The command ``netcompress``: runs the app and turns users' errors into one message."""

import errno
import io
import os
import sys


def main() -> None:
    """Run the command line.

    Exit codes: 0 done; 1 it ran and something did not hold; 2 the user must mend something; 130
    interrupted.
    """
    try:
        from netcompress.app import app
        from registry.errors import FaultyFile, UserError
    except ImportError as error:
        print(f"netcompress: {_foreign(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that it cannot write is no error
            stream.reconfigure(errors="replace")
    try:
        try:
            app(standalone_mode=True)
        finally:
            sys.stdout.flush()  # what cannot be written comes up here and not after the end
    except ImportError as error:
        print(f"netcompress: {_foreign(error)}", file=sys.stderr)
        sys.exit(2)
    except FaultyFile as error:
        print(error, file=sys.stderr)  # a line a fault, for editors to jump to
        sys.exit(2)
    except UserError as error:
        print(f"netcompress: {error}", file=sys.stderr)
        sys.exit(2)
    except MemoryError:
        print(
            "netcompress: this takes more memory than there is: give it less at once, or run it "
            "where there is more",
            file=sys.stderr,
        )
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EPIPE):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still to be flushed
        if error.errno == errno.EPIPE:  # whoever read it has seen enough
            sys.exit(1)
        print("netcompress: no space left to write to: free some and run it again", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("netcompress: interrupted", file=sys.stderr)
        sys.exit(130)


def _foreign(error: ImportError) -> str:
    """What to mend where a package of our plain names is not ours, or one is missing."""
    package = (error.name or "").split(".")[0]
    found = sys.modules.get(package)
    where = getattr(found, "__file__", None) or "nowhere"
    if package in ("registry", "methods", "benchmarks"):
        return (
            f"`import {package}` gives {where}, which is not ours ({error}): a folder or package "
            "of that name comes first in sys.path. Rename it, run `netcompress` in place of "
            "`python -m netcompress`, or start Python with -P"
        )
    return f"{error}: install it, for example by `pip install '{package or 'netcompress'}'`"


if __name__ == "__main__":
    main()
