"""What makes licenses live in a host: the manager, its drivers, the outbox."""
