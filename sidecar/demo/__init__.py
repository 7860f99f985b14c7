"""The demo: the whole way of a token on loopback, told step by step, each step checked while it is told.

Everything here is for watching and trying; nothing in the gateway imports it, and it reaches into no part of the
gateway that an operator could not reach.
"""
