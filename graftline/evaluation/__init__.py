"""What makes a verdict mean something: intervals, gain, baselines, calibration, gate."""
