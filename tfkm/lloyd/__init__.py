"""Lloyd's iteration: the loop, passes in memory, centroid updates, empty clusters, cosine, size limits."""
