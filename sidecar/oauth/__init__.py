"""OAuth as a client and a resource server meet it: keys, tokens, metadata and one authorization server each."""
