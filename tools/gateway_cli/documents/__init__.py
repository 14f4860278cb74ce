"""YAML and JSON documents: values, and the line of every field."""
