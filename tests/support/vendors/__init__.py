"""Authorization servers as their documentation and sources have them: what they want, issue, add and say.

``server`` is a strict RFC 8693 server, of which each in ``known`` departs; ``exchanges`` are what is exchanged with
each. None of this is made from ``sidecar.exchange.dialects``: it is what the dialects are held against.
"""

from tests.support.vendors.known import VENDORS
from tests.support.vendors.server import Vendor, VendorError, vendor_server

__all__ = ["VENDORS", "Vendor", "VendorError", "vendor_server"]
