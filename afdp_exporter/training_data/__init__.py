"""Training examples laid out as a data set for other people's models, with what describes it."""
