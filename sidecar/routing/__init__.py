"""Which route takes a request: pure functions and immutable tables over the values of ``model``.

``conditions`` reads one condition of a route, ``precedence`` orders routes and finds those that can't work, ``index``
looks routes up in that order, and ``table`` is what everybody else asks. ``rules`` and ``ties`` tell which routes meet,
``regions`` and ``changes`` what becomes of requests when one table takes another's place.
"""
