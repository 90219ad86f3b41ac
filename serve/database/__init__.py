"""What the service remembers: tables, connections, migrations and queries."""
