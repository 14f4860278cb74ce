"""Stands for the gateway's layer: importable only if the layer is on the functions' path."""

GREETING = "from the layer"
