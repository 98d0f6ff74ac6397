"""The local Runware: the provider's two transports on a loopback port, real MP4 files, and no money.

It is what adreel buys from when there is no key, and what the tests buy from always. It keeps a ledger of what it
accepted and billed, outlives a restart, and goes wrong on demand (`faults`), since the promise is about those cases.
"""

from adreel.emulator.faults import KINDS, Fault, Point, parse_faults
from adreel.emulator.ledger import Entry, Ledger
from adreel.emulator.server import LocalRunware
from adreel.emulator.thread import in_thread

__all__ = ["KINDS", "Entry", "Fault", "Ledger", "LocalRunware", "Point", "in_thread", "parse_faults"]
