"""Fine-tuning: training examples, few-shot sampling, training loop, calibration."""
