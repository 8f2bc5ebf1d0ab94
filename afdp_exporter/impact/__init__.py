"""What happened -> whose doing it was, in what order, at what cost. Pure."""
