"""What tests of several packages share; nothing here is part of the gateway."""
