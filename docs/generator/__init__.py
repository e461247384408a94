"""What makes the documentation's pages from the catalogue, the command line and the benchmarks' results."""
