"""What the next deployment will do: predicted from what the past ones did, and compared with what then happened."""
