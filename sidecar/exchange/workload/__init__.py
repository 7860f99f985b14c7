"""Workload tokens: ours, not the caller's, as actor token or as subject token of a call without a user (RFC 8693 §2.1).

``source`` says what all of them can do. Where they come from: ``file``, ``client_credentials``, ``borne``.
"""
