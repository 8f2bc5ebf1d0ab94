"""What is reported to us becomes a deployment: read, placed, put together, kept."""
