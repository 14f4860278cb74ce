"""YAML and JSON as people write them: values, and the line of every field."""
