"""The embedded authorization server: for development, tests and demos, with real signatures and real policy.

It speaks RFC 8414 (metadata), RFC 7517 (keys), RFC 6749 and RFC 7523 (clients) and RFC 8693 (exchanges). Its keys live
in memory, so a restart ends every token it issued. Nothing in the gateway imports it.
"""
