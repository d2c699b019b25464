"""Checks the record files named as arguments, one after the other; prints a JSON line for each."""

import json
import resource
import sys
import time
from pathlib import Path

from registry import check_files

for name in sys.argv[1:]:
    # of the processor: others may be at work here; what waits for ever meets the time limit above
    start = time.process_time()
    faults = check_files([Path(name)])
    seconds = time.process_time() - start
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = [[fault.line, fault.field, fault.message] for fault in faults]
    line = {"file": name, "seconds": seconds, "peak_bytes": peak_bytes, "faults": told}
    print(json.dumps(line), flush=True)
