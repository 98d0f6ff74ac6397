"""Numbers of threads, bounded so that a render leaves the machine usable."""

import os
import sys

CORES = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
DECODER_THREADS = min(4, CORES)
# The encoder's bytes depend on the number of its threads, and equal plans should make equal files on every machine.
ENCODER_THREADS = 2
FILTER_THREADS = 2
