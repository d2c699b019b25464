"""Checks the record files named as arguments, one after the other; prints a JSON line for each."""

import json
import resource
import sys
import time
from pathlib import Path

from registry import check_files

for name in sys.argv[1:]:
    start = time.perf_counter()
    faults = check_files([Path(name)])
    seconds = time.perf_counter() - start
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = [[fault.line, fault.field, fault.message] for fault in faults]
    line = {"file": name, "seconds": seconds, "peak_bytes": peak_bytes, "faults": told}
    print(json.dumps(line), flush=True)
