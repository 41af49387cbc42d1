"""Where scenes meet the model: planning, reading ahead, batching, the journal, the run."""
