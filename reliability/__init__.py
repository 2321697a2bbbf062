"""Attacks on the service, and measurements of how it holds."""
