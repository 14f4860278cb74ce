"""In-memory stand-ins for the flows' ports. They keep the real adapters' promises, and can fail on request."""
