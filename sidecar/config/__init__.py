"""The configuration edge: one YAML file in, one frozen, checked value out, or every problem of it at once.

``load`` reads and checks, ``apart`` has that done in another process, ``schema`` says which keys there are,
``problems`` what is wrong and where. Only ``load`` and what it alone imports need pydantic and YAML. Nothing here knows
how the gateway works inside: ``snapshot`` compiles what is read here into the values of ``sidecar.model``.
"""
