"""The nouns: frozen values that every layer above shares.

Nothing here does I/O, and nothing here imports anything of the package but its own siblings. Whatever holds a secret
keeps it out of its ``repr``.
"""
