"""What we are told becomes a deployment: read, placed, put together, kept."""
