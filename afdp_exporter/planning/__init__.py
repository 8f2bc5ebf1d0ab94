"""What the next deployment will do: foretold from what the past ones did, and held against what then happened."""
