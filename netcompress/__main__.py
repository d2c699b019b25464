"""The command ``netcompress``: runs the app and turns users' errors into one message."""

import os
import sys


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 something did not hold, 2 mend it, 130 stopped."""
    from netcompress.app import app
    from registry.errors import UserError

    try:
        app(standalone_mode=True)
    except UserError as error:
        print(f"netcompress: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("netcompress: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has left (``| head``): nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
