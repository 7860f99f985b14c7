"""Asking somebody else for a yes before a token is exchanged; fails closed whatever the approver does or says."""
