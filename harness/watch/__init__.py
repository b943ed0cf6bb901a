"""Watch a run from outside: guard and end its process tree, and sample the tree and the disk."""
