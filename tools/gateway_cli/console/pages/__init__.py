"""The console's views: each reads what it shows, and returns the values of its template."""
