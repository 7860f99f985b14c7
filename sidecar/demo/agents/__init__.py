"""The demo of governed delegation: a person, two agents, a tool server, three gateways, and one who has to say yes.

``story`` tells it, ``stage`` sets it up, ``cast`` says who may what. ``tool_server`` and ``researcher`` are programs of
their own, on the MCP SDK, which nothing else in the sidecar needs.
"""
