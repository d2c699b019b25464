"""Reads and decodes files under a limit of the process's data. A script: one process, one limit.

    python read_under_limit.py DATA_BYTES DECODED_BYTES < files

Standard input holds files one behind the other, each after its length (eight bytes, little-endian).
Each is read under the usual bounds, and where it declares at most DECODED_BYTES it is decoded too.
Prints one JSON object of counts; any other exception than FormatError is its own name's count.
"""

import json
import resource
import sys
from collections import Counter

from methods.compressed import Compressed
from methods.document import check_decoded_bytes
from methods.formats.format import FormatError


def outcome(data: bytes, decoded_bytes: int) -> str:
    try:
        held = Compressed.from_bytes(data)
        check_decoded_bytes(held.document, decoded_bytes)
    except FormatError:
        return "refused"
    except Exception as error:
        return type(error).__name__
    try:
        held.tensors()
    except Exception as error:
        return type(error).__name__
    return "decoded"


def main(data_bytes: int, decoded_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    counts: Counter[str] = Counter()
    while size := sys.stdin.buffer.read(8):
        data = sys.stdin.buffer.read(int.from_bytes(size, "little"))
        counts[outcome(data, decoded_bytes)] += 1
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
