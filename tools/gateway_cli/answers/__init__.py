"""What became of an event: one model, from which `why`, `status`, `runs` and `events` are views."""
