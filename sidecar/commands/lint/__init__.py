"""What ``sidecar check`` finds in a file that can be served, but may not be meant: one function for each rule.

``rules`` names them all with their reasons, ``verdict`` holds findings against what the file accepts, ``report`` prints
them. Nothing here is ever an error: what can't be served is refused by ``config`` and ``snapshot``.
"""
