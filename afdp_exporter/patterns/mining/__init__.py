"""Rule mining: which conditions go along with which outcomes, at a controlled false discovery rate."""
