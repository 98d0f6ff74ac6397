"""The emulator: a stand-in for Runware on a loopback port, which renders real files at no cost.

adreel uses it when there is no key, and the tests always use it. It speaks both of Runware's transports. Its ledger
records every accepted task and every bill, and survives a restart. Faults can be injected (`faults`).
"""

from adreel.emulator.faults import KINDS, Fault, Point, parse_faults
from adreel.emulator.ledger import Entry, Ledger
from adreel.emulator.server import LocalRunware, in_thread

__all__ = ["KINDS", "Entry", "Fault", "Ledger", "LocalRunware", "Point", "in_thread", "parse_faults"]
