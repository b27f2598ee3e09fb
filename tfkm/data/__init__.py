"""What points can be: arrays of every library, sparse rows, files, batches of a dataset."""
