"""The token-exchange sidecar: a gateway that never passes a caller's token through."""

__version__ = "0.1.0"
