"""`mwaa-gateway events`: send an event by hand, and follow the trail."""
