"""The way out: requests to upstreams over kept HTTP/1.1 connections (RFC 9112, RFC 9110 §7).

``Pool`` is the door, ``Body`` goes in, ``Response`` comes out, ``errors`` tells what can go wrong. No module here knows
of tokens, routes' meaning, or what a caller is answered.
"""
