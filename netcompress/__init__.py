"""The literature of neural-network compression, executable."""

__version__ = "0.1.0"
