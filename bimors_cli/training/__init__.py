"""Fine-tuning: where examples come from, few-shot sampling, the loop, calibration."""
