"""The fits, one function each: k-means, many problems at once, mini-batches, bisection."""
