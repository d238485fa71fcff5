"""Text classifiers that explain themselves: concept bottlenecks over per-concept subnetworks."""
