"""Measures a trained net: its errors and losses on a split."""
