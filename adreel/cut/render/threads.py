"""Numbers of threads, bounded so that a render leaves the machine usable."""

import os

DECODER_THREADS = min(4, len(os.sched_getaffinity(0)))
# The encoder's bytes depend on the number of its threads, and equal plans should make equal files on every machine.
ENCODER_THREADS = 2
FILTER_THREADS = 2
