"""The nets: their data, layers, devices and towers, and a trained net on disk."""
