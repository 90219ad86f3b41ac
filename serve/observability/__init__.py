"""What is told of the service: Prometheus, the overview, the results of monitoring."""
