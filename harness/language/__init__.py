"""Write sentences and numbers in English or French."""
