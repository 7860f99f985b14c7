"""From a verified subject token to one for the upstream: ask, cache, judge (RFC 8693)."""
