"""Team files: what ``include`` brings in, and what keeps each team in its own house."""
