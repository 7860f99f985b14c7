from sidecar.model.mcp import MCP, Rule


def test_all_rules() -> None:
    tool, method = Rule(("mcp", "tools", "delete_*")), Rule(("mcp", "methods", "tools/list"))
    assert MCP(tools=(tool,), methods=(method,)).rules == (tool, method)
    assert (tool.pattern, method.pattern) == ("delete_*", "tools/list")


def test_requests_are_refused_where_nothing_is_said() -> None:
    assert not MCP().default
