"""Lloyd's iteration: the loop, a pass in memory, next centroids, empty clusters, cosine, size limits."""
