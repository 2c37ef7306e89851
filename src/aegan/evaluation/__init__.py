"""Measuring a trained run, judging it, and showing both."""
