"""What the caller presents: taken out of the request, and verified."""
