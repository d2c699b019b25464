"""Checks the record files named as arguments, one after the other; prints a JSON line for each."""

import json
import re
import resource
import sys
import time
from pathlib import Path

from registry import check_files

STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """Of this process alone: what getrusage says begins with the peak of the one that forked it."""
    if STATUS.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text("ascii"), re.MULTILINE)
        if found:
            return 1024 * int(found[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


for name in sys.argv[1:]:
    # of the processor: others may be at work here; what waits for ever meets the time limit above
    start = time.process_time()
    faults = check_files([Path(name)])
    seconds = time.process_time() - start
    told = [[fault.line, fault.field, fault.message] for fault in faults]
    line = {"file": name, "seconds": seconds, "peak_bytes": peak_bytes(), "faults": told}
    print(json.dumps(line), flush=True)
