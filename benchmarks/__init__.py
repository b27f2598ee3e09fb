"""How fast tfkm is, against the machine's limits and against its rivals. See README.md."""
