"""One function for each way to fit: k-means, many problems at once, mini-batches, bisection."""
