"""The configuration edge: one YAML file in, one frozen, checked value out, or every problem of it at once.

``load`` reads and checks, ``schema`` says which keys there are, ``problems`` says what is wrong and where. Nothing
here knows how the gateway works inside: ``snapshot`` compiles what is read here into the values of ``sidecar.model``.
"""
