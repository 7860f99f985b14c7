"""The wire rules of HTTP/1.1 that both ends share: bytes in, values out.

Nothing here does I/O, holds state or knows of routes and tokens; it imports nothing of the package but its siblings.
"""
