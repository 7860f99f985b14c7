"""The command line: one module each, with ``add`` for its arguments and ``run`` for what it does.

``run`` returns the exit status: 0, 1 where what was looked for was found (lints, a failed step), 2 for bad input.
"""
